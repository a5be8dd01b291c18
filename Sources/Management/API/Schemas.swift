/// What bodies look like, in JSON Schema 2020-12 as OpenAPI 3.1 takes it.
enum Schemas {
    static let all = management.merging(scoring) { $1 }.merging(rules) { $1 }.merging(users) { $1 }

    private static let management: [String: JSONValue] = [
        "Problem": object(
            [
                "type": string("What kind it is: `urn:ml-service:problem:` and a name"), "title": string(),
                "status": ["type": "integer"], "detail": string("What is wrong and what to do"),
                "field": string("The field at fault, `date_range.start` say"),
                "error": string("Under `/v2`: the detail once more"),
            ], required: ["type", "title", "status", "detail"]),
        "Description": ["type": "object", "description": "OpenAPI 3.1"],
        "Readiness": object(
            [
                "ready": flag,
                "state": choice([
                    "starting", "running", "waiting", "finished", "stopped", "not-serving",
                ]),
                "reason": string("What it waits for"),
            ], required: ["ready", "state"]),
        "TrainRequest": trainRequest,
        "BacktestRequest": backtestRequest,
        "JobAccepted": object(
            ["job_id": string(), "state": jobState], required: ["job_id", "state"]),
        "Job": job,
        "Model": model,
        "ModelChange": object(
            [
                "user_id": string("Absent: the global model"), "sequence": integer, "from": integer,
                "to": integer, "sha256": string("Of the artifact that became active"), "by": string(),
                "reason": string(), "time_milliseconds": integer,
                "gate": [
                    "type": "array", "description": "By what it was let through, or not",
                    "items": ["type": "object"],
                ],
                "place": ["type": "object", "description": "In which pack it lies"],
            ], required: ["sequence", "by", "reason", "time_milliseconds"]),
        "Promotion": object(
            [
                "tenant": string("`global`, or the user's id"), "version": version, "previous": version,
                "changed": flag("false: it was the active version already"),
            ], required: ["tenant", "version", "changed"]),
        "PendingPromotion": object(
            [
                "tenant": string("`global`, or the user's id"), "version": version,
                "asked_by": string("The name of the key that must not be the one that confirms"),
                "reason": string(), "expires_ms": integer,
            ], required: ["tenant", "version", "asked_by", "reason", "expires_ms"]),
        "Quarantined": object(
            [
                "tenant": string("`global`, or the user's id"), "user_id": string("Absent: the global model"),
                "version": version, "fallback": string(), "reason": string(),
            ],
            required: ["tenant", "version", "fallback", "reason"]),
        "Drift": object(
            [
                "tenant": string(), "version": version, "transactions": integer, "alerts": integer,
                "alert_rate": figure, "alert_budget": figure, "flood": flag, "rows": integer,
                "score_psi": figure, "feature_psi": metrics, "unseen_category_share": metrics,
            ],
            required: [
                "tenant", "version", "transactions", "alerts", "alert_rate", "alert_budget", "flood", "rows",
            ]),
        "Shadow": shadow,
        "Receipt": receipt,
        "Labels": ["oneOf": [label, ["type": "array", "maxItems": 10_000, "items": label]]],
        "LabelReceipt": object(
            [
                "received": integer, "new": number("Whose transactions had none"),
                "changed": number("Known later than what stood, saying something else"),
                "conflicting": number(
                    "Saying something else than what stands, known earlier: kept, but not standing"),
                "repeated": number("Saying what stands, or having come before"),
            ], required: ["received", "new", "changed", "conflicting", "repeated"]),
        "Anomaly": anomaly,
        "Detectors": object(
            [
                "loaded": array(of: ["type": "object"]),
                "refused": array(
                    of: object(["path": string(), "reason": string()], required: ["path", "reason"])),
            ], required: ["loaded", "refused"]),
    ]

    private static let jobState = choice(["queued", "running", "succeeded", "failed", "cancelled"])
    static let version: JSONValue = ["type": "string", "pattern": "^v[1-9][0-9]*$"]

    private static let label: JSONValue = [
        "type": "object", "required": ["transaction_id", "label", "known_at"],
        "properties": [
            "transaction_id": ["type": "string", "minLength": 1, "maxLength": 1_024],
            "label": ["type": "string", "enum": ["fraud", "genuine"]],
            "known_at": [
                "type": ["string", "integer"],
                "description":
                    "When you came to know it: RFC 3339, or milliseconds since 1970. Not in the future.",
            ],
            "source": [
                "type": ["string", "null"], "maxLength": 64,
                "description": "Who said so, `chargeback` or `analyst`; without it: `api`.",
            ],
        ],
    ]

    private static let trainRequest: JSONValue = [
        "type": "object",
        "additionalProperties": false,
        "required": ["date_range"],
        "properties": [
            "user_id": [
                "type": ["string", "null"], "minLength": 1, "maxLength": 256,
                "description": "Absent: the global model.",
            ],
            "all_users": [
                "type": ["boolean", "null"], "default": false, "description": "A model for every user.",
            ],
            "date_range": [
                "type": "object", "required": ["start", "end"],
                "properties": [
                    "start": ["type": "string", "format": "date"],
                    "end": ["type": "string", "format": "date", "description": "Inclusive."],
                ],
            ],
            "detector": [
                "type": ["string", "null"], "default": "auto",
                "description": "auto: the best on the holdout of all that the data allow.",
            ],
            "parameters": [
                "type": ["object", "null"],
                "description": "Of the detector; `GET /v1/detectors` lists them.",
                "additionalProperties": ["type": ["string", "number", "boolean"]],
            ],
            "contamination": [
                "type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 0.5, "default": 0.01,
                "description": "The share of alerts that the threshold is chosen for.",
            ],
            "encoding": [
                "type": ["string", "null"], "enum": ["one-hot", "native", nil],
                "description": "What categories become; default: native for detectors that make use of them.",
            ],
            "seed": ["type": ["integer", "null"], "minimum": 0, "default": 0],
            "as_of": [
                "type": ["string", "null"],
                "description":
                    "Learn and judge by the labels known at this moment, a day or RFC 3339; default: by all.",
            ],
            "leave_out": [
                "type": ["array", "null"], "items": ["type": "string"],
                "description": .text(
                    "Features that the model does not get; `references` stands for all of tables."),
            ],
            "promotion": [
                "type": ["string", "null"], "enum": ["gated", "manual", "auto", nil], "default": "gated",
                "description": .text(
                    "gated: it serves if it is no worse than the active version on the same holdout and keeps its alert budget there; manual: a candidate; auto: it serves."
                ),
            ],
            "promote": [
                "type": ["boolean", "null"],
                "description": "Where promotion is not given; false: as promotion manual.",
            ],
        ],
    ]

    private static let backtestRequest: JSONValue = [
        "type": "object", "additionalProperties": false,
        "properties": [
            "days": [
                "type": ["integer", "null"], "minimum": 1,
                "description": "The last days that the lake has, so many; or name a `date_range`.",
            ],
            "date_range": [
                "type": ["object", "null"], "required": ["start", "end"],
                "properties": [
                    "start": ["type": "string", "format": "date"],
                    "end": ["type": "string", "format": "date"],
                ],
            ],
            "against": [
                "type": ["string", "null"], "default": "active",
                "description": "The version to compare with, `v3`, or `active`: the one that serves.",
            ],
            "as_of": [
                "type": ["string", "null"],
                "description":
                    "Judge by the labels known at this moment, a day or RFC 3339; default: by all.",
            ],
            "alert_cost": [
                "type": ["number", "null"], "minimum": 0, "default": 0,
                "description": "What looking at an alert costs, in the amounts' unit.",
            ],
        ],
    ]

    private static let job = object(
        [
            "job_id": string(), "kind": choice(["train", "backtest"]), "state": jobState,
            "stage": choice(["lake", "prepare", "fit", "evaluate", "store", "promote"]),
            "progress": number("Of the stage, 0 to 1"), "attempts": integer, "user_id": string(),
            "all_users": flag, "detector": string(),
            "version": [
                "type": "string", "pattern": "^v[1-9][0-9]*$", "description": "That it made current",
            ],
            "models": array(
                of: object(
                    ["tenant": string(), "version": version, "promoted": flag],
                    required: ["tenant", "version", "promoted"])),
            "model_count": integer, "metrics": metrics, "notes": array(of: string()),
            "candidates": array(of: ["type": "object"]),
            "gate": array(of: ["type": "object"]),
            "backtest": [
                "type": "object",
                "description":
                    "What a backtest found: `active`, `candidate`, `by_activity`, `by_category`, `new`, `dropped`, ...",
            ],
            "error": string(), "created_ms": integer,
            "finished_ms": integer,
        ], required: ["job_id", "kind", "state", "progress", "attempts", "all_users", "created_ms"])

    private static let model = object(
        [
            "version": version, "active": flag, "user_id": string(), "detector": string(),
            "detector_version": string(), "accuracy": figure, "threshold": figure,
            "severity_at_threshold": figure, "contamination": figure,
            "metrics": metrics, "candidates": array(of: ["type": "object"]),
            "gate": array(of: ["type": "object"]), "rows": integer, "trained_from": string(),
            "trained_to": string(),
            "created_ms": integer, "parent": version, "size_bytes": integer,
            "error": string("Why the artifact cannot be read"),
        ], required: ["version", "active", "size_bytes"])

    static let anomaly = object(
        [
            "number": integer, "group": string("The same for alerts of one user within one window of time"),
            "verdict": ["type": "object", "description": "As it was published"],
        ], required: ["number", "group", "verdict"])

    private static let shadow: JSONValue = {
        let changes = array(
            of: object(
                [
                    "transaction_id": string(), "user_id": string(), "time_ms": integer,
                    "severity": figure,
                ], required: ["transaction_id", "user_id", "time_ms"]))
        return object(
            [
                "version": version, "against": version, "state": choice(["running", "ended"]),
                "ended_because": string(), "by": string(), "started_ms": integer, "ends_ms": integer,
                "maximum_transactions": integer, "transactions": integer, "skipped": integer,
                "alerts": integer, "against_alerts": integer, "budget": figure, "against_budget": figure,
                "new_alerts": integer, "dropped_alerts": integer, "new": changes, "dropped": changes,
                "rank_correlation": number("Spearman's, of the two versions' scores"),
                "seconds": number("That the candidate's scoring took"),
            ],
            required: [
                "version", "state", "by", "started_ms", "ends_ms", "maximum_transactions", "transactions",
                "skipped", "alerts", "against_alerts", "new_alerts", "dropped_alerts", "new", "dropped",
                "seconds",
            ])
    }()

    private static let receipt: JSONValue = {
        let part = object(
            [
                "what": string("`models`, `windows`, ..."), "where": string(), "removed": integer,
                "state": choice(["done", "pending"]), "note": string(),
            ], required: ["what", "where", "removed", "state"])
        let rule = object(
            [
                "id": string(), "action": string(),
                "author": string("Who made the rule and does not know yet that it is gone"),
            ], required: ["id", "action", "author"])
        return object(
            [
                "user_id": string(), "state": choice(["done", "pending"]), "time_ms": integer,
                "parts": array(of: part), "rules": array(of: rule), "kept": array(of: string()),
            ], required: ["user_id", "state", "time_ms", "parts", "rules", "kept"])
    }()

    /// Numbers that JSON lacks are texts.
    static let figure: JSONValue = ["type": ["number", "string"]]
    private static let metrics: JSONValue = ["type": "object", "additionalProperties": figure]
    static let flag: JSONValue = ["type": "boolean"]
    static let integer: JSONValue = ["type": "integer"]

    static func flag(_ meaning: String) -> JSONValue {
        ["type": "boolean", "description": .text(meaning)]
    }

    static func number(_ meaning: String) -> JSONValue {
        ["type": "number", "description": .text(meaning)]
    }

    static func string(_ meaning: String = "") -> JSONValue {
        meaning.isEmpty ? ["type": "string"] : ["type": "string", "description": .text(meaning)]
    }

    static func choice(_ values: [String]) -> JSONValue {
        ["type": "string", "enum": .array(values.map { .text($0) })]
    }

    static func array(of items: JSONValue) -> JSONValue { ["type": "array", "items": items] }

    static func object(_ properties: [String: JSONValue], required: [String]) -> JSONValue {
        [
            "type": "object", "properties": .object(properties),
            "required": .array(required.map { .text($0) }),
        ]
    }
}
