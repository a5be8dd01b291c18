extension Schemas {
    static let users: [String: JSONValue] = [
        "User": object(
            [
                "user_id": string(),
                "serving": object(
                    [
                        "tenant": string("`global`, or the user's id"), "version": version,
                        "reason": string("Why the user's own model does not serve"),
                    ], required: ["tenant"]),
                "versions": integer, "has_window": flag("Absent: this process cannot tell"),
                "window": window, "labels": array(of: label),
                "labels_error": string("Why the lake cannot be read; `labels` is absent then"),
                "recent": array(of: anomaly),
            ], required: ["user_id", "serving", "versions", "window", "recent"]),
        "UserLabel": label,
    ]

    private static let label = object(
        [
            "transaction_id": string(), "timestamp": string(), "label": choice(["fraud", "genuine"]),
            "known_at": string(),
            "source": string("Who said so; `transaction`: it came with its label"),
        ], required: ["transaction_id", "timestamp", "label", "known_at", "source"])

    /// What happened in the last hour, day, week or 30 days.
    private static let span = object(
        [
            "count": integer, "sum": figure, "mean": number("Of the amounts; absent: there are none"),
        ], required: ["count", "sum"])

    private static let window: JSONValue = [
        "type": ["object", "null"],
        "description": "As of its own last event, which counts; null: there is none to be read here.",
        "required": [
            "last_event", "last_hour", "last_day", "last_week", "last_30_days", "seen", "sentences",
        ],
        "properties": [
            "last_event": string("When; RFC 3339"),
            "last_hour": span, "last_day": span, "last_week": span, "last_30_days": span,
            "usual_amount": number("The mean of 30 days, as in reasons; absent under three payments"),
            "seen": object(
                [
                    "merchants": number("In 30 days; 32: that many or more"),
                    "countries": number("In 30 days; 8: that many or more"),
                    "devices": number("In 30 days; 16: that many or more"),
                ], required: ["merchants", "countries", "devices"]),
            "sentences": array(of: string("English, for people")),
        ],
    ]
}
