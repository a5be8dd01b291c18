/// What a metric is, for whoever reads it: Prometheus, a dashboard, an operator.
struct MetricDescription: Sendable {
    enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    let name: String
    let kind: Kind
    let help: String
    /// A base unit, which ends the name; nil: it counts what its name says, or is a plain number.
    var unit: String?
    /// Upper bounds of a histogram's buckets, ascending, without infinity.
    var bounds: [Double] = []
    /// Names of its labels. None ever has a value for each user.
    var labels: [String] = []
}

extension MetricDescription {
    /// Of what takes from half a millisecond to ten seconds.
    static let secondBounds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    fileprivate static func counter(_ name: String, _ help: String, labels: [String] = []) -> Self {
        Self(name: name, kind: .counter, help: help, labels: labels)
    }

    fileprivate static func gauge(
        _ name: String, _ help: String, unit: String? = nil, labels: [String] = []
    ) -> Self {
        Self(name: name, kind: .gauge, help: help, unit: unit, labels: labels)
    }

    fileprivate static func seconds(
        _ name: String, _ help: String, bounds: [Double] = secondBounds, labels: [String] = []
    ) -> Self {
        Self(name: name, kind: .histogram, help: help, unit: "seconds", bounds: bounds, labels: labels)
    }

    static func of(_ name: String) -> MetricDescription? { byName[name] }

    private static let byName = Dictionary(all.map { ($0.name, $0) }) { first, _ in first }

    /// Every metric there is; a test looks for strangers in the sources.
    static let all = stream + windows + models + training + http + process

    private static let stream: [MetricDescription] = [
        .counter("ml_transactions_total", "Transactions scored and delivered."),
        .counter("ml_transactions_scored_by_user_model_total", "Of those, scored by the user's own model."),
        .counter(
            "ml_transactions_scored_by_fallback_total",
            "Of those, scored by the global model, by why the user's own did not serve.", labels: ["reason"]),
        .counter("ml_anomalies_total", "Verdicts that are anomalies."),
        MetricDescription(
            name: "ml_anomaly_severity", kind: .histogram, help: "Severity of anomalies, 0 to 1.",
            bounds: [0.33, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 1]),
        .counter(
            "ml_dead_letters_total", "Records that are no transactions, or cannot be read.",
            labels: ["reason"]),
        .counter("ml_transactions_late_total", "Transactions older than the longest window reaches."),
        .counter("ml_transactions_future_total", "Transactions dated in the future, which moved no window."),
        .counter("ml_transactions_cold_total", "Transactions of users with less history than configured."),
        .counter(
            "ml_transactions_without_references_total",
            "Transactions scored without the reference table that their model looks at."),
        .counter("ml_records_wrongly_keyed_total", "Records that are not keyed by their user."),
        .counter("ml_records_lost_total", "Records that were gone from the log before they were read."),
        .counter(
            "ml_partitions_beyond_end_total",
            "Times that a partition stood still because its committed offset lay beyond the log's end."),
        .gauge(
            "ml_partitions_standing",
            "Partitions in which the whole group has made no progress for stream.standing, though records have come."
        ),
        .gauge(
            "ml_consumer_lag_records", "Records of a partition that are in the log and not delivered.",
            labels: ["partition"]),
        .counter("ml_batches_total", "Batches delivered."),
        .counter("ml_batches_dropped_total", "Batches whose partitions were given up before delivery."),
        .counter(
            "ml_batch_retries_total", "Times that a batch waited for something outside and was tried again."),
        .counter(
            "ml_serving_interruptions_total", "Times that serving began to wait, or began a new session."),
        .gauge("ml_last_delivery_timestamp_seconds", "When a batch was delivered last.", unit: "seconds"),
        .seconds("ml_stage_seconds", "Time that each stage takes for a batch.", labels: ["stage"]),
        .seconds(
            "ml_verdict_delay_seconds",
            "From the time a record was produced to its verdict's delivery, of every eighth transaction.",
            bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600]),
        .counter(
            "ml_labels_total", "Labels read from the topic, by what became of them.", labels: ["result"]),
        .counter("ml_recent_anomalies_left_out_total", "Anomalies delivered, but not kept for the HTTP API."),
        .counter("ml_anomalies_suppressed_total", "Anomalies that a rule kept from being alerts."),
        .counter("ml_alerts_by_rule_total", "Transactions that a rule made alerts."),
        .counter("ml_shadow_transactions_total", "Transactions that a shadow has scored."),
        .counter(
            "ml_shadow_transactions_skipped_total", "Transactions that a shadow left out to keep up."),
        .gauge("ml_rules_version", "Version of the rules that serve."),
        .counter("ml_rules_failures_total", "Times that newer rules could not be used."),
        .gauge("ml_ready", "1 where this process would answer /readyz with 200, else 0."),
    ]

    private static let windows: [MetricDescription] = [
        .counter("ml_windows_moved_total", "Transactions whose user's window came from another partition."),
        .counter(
            "ml_windows_ahead_total",
            "Transactions that their window held already, after offsets were set back."),
        .counter("ml_windows_damaged_total", "Stored windows that were damaged and moved aside."),
        .counter(
            "ml_window_losses_total", "Times that the window store was found to have forgotten windows."),
        .counter(
            "ml_window_conflicts_total", "Batches begun again because another worker had changed a window."),
        .counter(
            "ml_transactions_with_incomplete_windows_total",
            "Transactions scored from windows of which something is missing."),
    ]

    private static let models: [MetricDescription] = [
        .counter("ml_model_cache_hits_total", "Models found in a cache.", labels: ["cache"]),
        .counter("ml_model_cache_misses_total", "Models not found in a cache.", labels: ["cache"]),
        .counter("ml_model_cache_evictions_total", "Models that a cache let go of.", labels: ["cache"]),
        .counter("ml_model_cache_failures_total", "Times that the cache on disk could not be used."),
        .counter(
            "ml_model_cache_unwritten_total", "Models that did not come to the disk: too many waited for it."),
        .counter("ml_model_loads_total", "Models opened."),
        .counter("ml_model_load_failures_total", "Models that could not be opened."),
        .counter("ml_detector_away_total", "Batches that an isolated detector's process missed."),
        .gauge("ml_models_quarantined", "Versions out of service in this process."),
        .gauge("ml_catalogue_objects_damaged", "Manifests of the catalogue that cannot be read."),
        .gauge("ml_model_alert_rate", "Share of alerts of the global model within the last hour of events."),
        .gauge("ml_model_alert_budget", "Share of alerts that its threshold was chosen for."),
        .gauge(
            "ml_score_psi",
            "Population stability index of the active global model's scores against training; absent before its first 1,000 rows that are looked at."
        ),
        .gauge("ml_feature_psi", "The same of a feature.", labels: ["feature"]),
        .gauge(
            "ml_unseen_category_share",
            "Share of the global model's rows whose category is unknown, or was too rare in training to have a column of its own, beyond training's own share of them.",
            labels: ["feature"]),
        .gauge(
            "ml_own_unseen_category_share",
            "The same of the rows that users' own models score, with training's own share in it.",
            labels: ["feature"]),
        .gauge("ml_models_flooding", "Active models that raise far more alerts than they may now."),
        .counter("ml_alert_floods_total", "Alert floods found."),
        .gauge("ml_reference_version", "Version of the reference table that serves."),
        .counter("ml_reference_failures_total", "Reference tables that could not be used."),
        .counter(
            "ml_reference_refreshes_total", "Reference tables computed, by outcome.", labels: ["outcome"]),
    ]

    private static let training: [MetricDescription] = [
        .counter("ml_training_jobs_total", "Training jobs that ended, by outcome.", labels: ["outcome"]),
        .gauge("ml_training_jobs_waiting", "Training jobs that wait their turn."),
        .gauge("ml_training_jobs_running", "Training jobs under way, by stage.", labels: ["stage"]),
        .counter("ml_training_lake_requests_total", "Requests to the lake's store for training."),
        .counter("ml_training_lake_bytes_total", "Bytes of the lake that training fetched."),
        .counter(
            "ml_training_lake_files_skipped_total",
            "Files of the lake that could not be read and were left out (lake.onbadfile)."),
    ]

    private static let http: [MetricDescription] = [
        .counter(
            "ml_http_requests_total", "Requests by route and class of status.", labels: ["route", "status"]),
        .seconds("ml_http_request_seconds", "Time from a request's head to its answer.", labels: ["route"]),
        .gauge("ml_http_connections", "Open HTTP connections."),
        .counter("ml_http_connections_refused_total", "Connections refused for want of room."),
        .counter("ml_http_connections_replaced_total", "Silent connections closed to make room."),
        .counter("ml_http_connections_timed_out_total", "Connections closed because the client was slow."),
        .gauge("ml_event_listeners", "Clients of /v1/events."),
        .counter("ml_event_listeners_dropped_total", "Clients of /v1/events that did not keep up."),
        .counter("ml_webhooks_sent_total", "Webhooks that the receiver took."),
        .counter("ml_webhooks_failed_total", "Webhooks that were given up."),
        .counter(
            "ml_schema_registry_requests_total",
            "Requests for a schema of records that Confluent's serialisers wrote."),
        .counter(
            "ml_schema_registry_failures_total",
            "Times that the schema registry gave no answer, and the stream waited."),
        .counter("ml_spans_sent_total", "Spans of batches that the collector took."),
        .counter(
            "ml_spans_dropped_total",
            "Spans that the collector did not take, or that the queue did not."),
        .counter("ml_audit_log_failures_total", "Entries that could not be written into the audit log."),
        .counter("ml_http_keys_refused_total", "Requests with a key that is none of ours."),
    ]

    private static let process: [MetricDescription] = [
        .counter("process_cpu_seconds_total", "Processor time of the process."),
        .gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", unit: "bytes"),
        .gauge("process_open_fds", "Open file handles."),
        .gauge("process_max_fds", "File handles that the process may open."),
        .gauge("process_start_time_seconds", "When the process began.", unit: "seconds"),
    ]
}

/// docs/metrics.md.
public func metricDocumentation() -> String {
    var text = """
        # Metrics

        Written from `MetricDescription` by `ml-service api --metrics`; a test holds it to that. No label has a value for each
        user. What to watch and what to do is in [operations](operations.md).

        | metric | kind | labels | what |
        |---|---|---|---|

        """
    for metric in MetricDescription.all {
        let labels = metric.labels.map { "`\($0)`" }.joined(separator: ", ")
        text += "| `\(metric.name)` | \(metric.kind.rawValue) | \(labels) | \(metric.help) |\n"
    }
    return text
}
