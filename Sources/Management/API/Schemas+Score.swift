extension Schemas {
    /// Of transactions that are not in the stream, and of the Open Inference Protocol.
    static let scoring: [String: JSONValue] = [
        "ScoreRequest": [
            "description": "One transaction, or up to 1,000 of them.",
            "oneOf": [
                transaction, ["type": "array", "items": transaction, "minItems": 1, "maxItems": 1_000],
            ],
        ],
        "ScoreAnswer": [
            "description": "A verdict, or an array of as many as there were transactions.",
            "oneOf": [verdict, array(of: verdict)],
        ],
        "Audit": object(
            [
                "number": integer, "outcome": choice(["reproduced", "differs", "transaction-missing"]),
                "difference": string("The first, for people"),
            ], required: ["number", "outcome"]),
        "InferenceLive": object(["live": flag], required: ["live"]),
        "InferenceReady": object(["name": string(), "ready": flag], required: ["ready"]),
        "InferenceServer": object(
            ["name": string(), "version": string(), "extensions": array(of: string())],
            required: ["name", "version", "extensions"]),
        "InferenceModel": object(
            [
                "name": string(), "versions": array(of: string()), "platform": string(),
                "inputs": array(of: tensorKind), "outputs": array(of: tensorKind),
            ], required: ["name", "versions", "platform", "inputs", "outputs"]),
        "InferenceRequest": object(
            [
                "id": ["type": ["string", "null"], "description": "Comes back in the answer"],
                "parameters": tensorParameters,
                "inputs": array(
                    of: object(
                        [
                            "name": string(),
                            "datatype": string("`BYTES`, `FP64`, `FP32`, `INT64` or `INT32`"),
                            "shape": array(of: integer), "parameters": tensorParameters,
                            "data": ["type": ["array", "null"]],
                        ], required: ["name", "datatype", "shape"])),
                "outputs": [
                    "type": ["array", "null"],
                    "items": object(["name": string(), "parameters": tensorParameters], required: ["name"]),
                ],
            ], required: ["inputs"]),
        "ExplainRequest": object(
            ["instances": ["type": "array", "items": transaction, "minItems": 1, "maxItems": 1_000]],
            required: ["instances"]),
        "ExplainAnswer": object(
            [
                "model_name": string(), "model_version": string(),
                "explanations": array(of: verdict),
            ], required: ["model_name", "model_version", "explanations"]),
        "InferenceAnswer": object(
            [
                "model_name": string(), "model_version": string(), "id": string(),
                "outputs": array(
                    of: object(
                        [
                            "name": string(), "datatype": string(), "shape": array(of: integer),
                            "data": ["type": "array"], "parameters": ["type": "object"],
                        ], required: ["name", "datatype", "shape"])),
            ], required: ["model_name", "model_version", "outputs"]),
    ]

    /// Types are left open: what exporters write in other types is read, as in the stream.
    private static let transaction: JSONValue = [
        "type": "object", "required": ["transaction_id", "user_id", "amount", "timestamp"],
        "properties": [
            "transaction_id": ["description": "1 to 256 bytes"], "user_id": ["description": "1 to 256 bytes"],
            "amount": ["description": "A finite number"],
            "timestamp": ["description": "RFC 3339 with its zone, or milliseconds since 1970"],
            "currency": ["description": "A text"], "merchant_id": ["description": "A text"],
            "category": ["description": "A text"], "country": ["description": "A text"],
            "channel": ["description": "A text"], "device_id": ["description": "A text"],
            "latitude": ["description": "Degrees"], "longitude": ["description": "Degrees"],
        ],
    ]

    private static let verdict: JSONValue = [
        "type": "object", "required": ["verdict", "score", "threshold", "model", "reasons"],
        "description": "As the stream would publish it; `source` is null.",
    ]

    private static let tensorParameters: JSONValue = ["type": ["object", "null"]]

    private static let tensorKind = object(
        ["name": string(), "datatype": string(), "shape": array(of: integer)],
        required: ["name", "datatype", "shape"])
}
