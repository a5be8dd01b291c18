import Rules

extension Schemas {
    static let rules: [String: JSONValue] = [
        "RuleRequest": ruleRequest,
        "Rule": rule,
        "Rules": object(
            [
                "version": number("Of the rules, from 1; 0: nobody has ever made one"),
                "sha256": string("Of the version, as verdicts name it"), "rules": array(of: rule),
            ], required: ["version", "rules"]),
        "RuleReceipt": object(
            [
                "version": number("Of the rules, now"), "changed": ["type": "boolean"],
                "rule": rule,
            ], required: ["version", "changed"]),
    ]

    private static let actions = Rule.Action.allCases.map(\.rawValue)

    private static let rule = object(
        [
            "id": string(), "action": choice(actions), "user_id": string(), "merchant_id": string(),
            "category": string(), "amount_from": figure, "amount_to": figure, "expires": string(),
            "publish": flag, "reason": string(), "author": string(), "created": string(),
        ], required: ["id", "action", "publish", "reason", "author", "created"])

    private static let ruleRequest: JSONValue = [
        "type": "object", "additionalProperties": false, "required": ["action", "reason"],
        "properties": [
            "id": [
                "type": ["string", "null"], "pattern": "^[A-Za-z0-9._-]{1,64}$",
                "description": "Absent: made of what the rule says, so that the same rule twice is once.",
            ],
            "action": [
                "type": "string", "enum": .array(actions.map { .text($0) }),
                "description":
                    "suppress and snooze keep an anomaly from being an alert; alert makes one whatever the score.",
            ],
            "user_id": condition, "merchant_id": condition, "category": condition,
            "amount_from": [
                "type": ["number", "null"], "description": "The least amount, itself included.",
            ],
            "amount_to": [
                "type": ["number", "null"], "description": "The greatest amount, itself included.",
            ],
            "expires": [
                "type": ["string", "null"],
                "description":
                    "RFC 3339. Transactions of this time and later are none of its business. A snooze has one.",
            ],
            "publish": [
                "type": ["boolean", "null"], "default": false,
                "description": "Publish suppressed anomalies all the same, named as suppressed.",
            ],
            "reason": ["type": "string", "minLength": 1, "maxLength": 500],
        ],
    ]

    private static let condition: JSONValue = [
        "type": ["string", "null"], "minLength": 1, "maxLength": 256,
        "description":
            "At least one of user_id, merchant_id, category and the amounts is given; all must hold.",
    ]
}
