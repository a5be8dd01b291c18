import Kafka
import Metrics
import Synchronization

/// Tells how many records of each partition are in the log and not delivered. A partition that is no longer this worker's
/// is told no more. Thread-safe.
final class PartitionLag: Sendable {
    private let gauges = Mutex<[TopicPartition: Meter]>([:])

    /// Called after a delivery.
    func report(_ slices: [PartitionSlice], _ consumer: KafkaConsumer) {
        let owned = consumer.assignment
        gauges.withLock { gauges in
            for slice in slices {
                guard owned.contains(slice.source), let end = consumer.knownEnd(slice.source) else {
                    continue
                }
                let gauge =
                    gauges[slice.source]
                    ?? Meter(
                        label: "ml_consumer_lag_records",
                        dimensions: [("partition", "\(slice.source.partition)")])
                gauge.set(Double(max(0, end - slice.end)))
                gauges[slice.source] = gauge
            }
            for (partition, gauge) in gauges where !owned.contains(partition) {
                gauge.destroy()
                gauges[partition] = nil
            }
        }
    }

    func forget() {
        gauges.withLock { gauges in
            for gauge in gauges.values { gauge.destroy() }
            gauges = [:]
        }
    }
}
