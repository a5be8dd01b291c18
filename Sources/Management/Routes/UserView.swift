import Exact
import Features
import Outcomes
import Serving
import Training

/// A user as the API shows one, but for the recent anomalies, whose bytes are put in as they were published.
struct UserView: Encodable {
    struct Serving: Encodable {
        let tenant: String
        let version: String?
        let reason: String?
    }

    let userId: String
    let serving: Serving
    let versions: Int
    /// nil: this process cannot tell.
    let hasWindow: Bool?
    let window: UserWindowView?
    /// The newest; nil: the lake cannot be read, which hides nothing of the rest.
    let labels: [UserLabelView]?
    let labelsError: String?
    let recent: [Int] = []

    static let labelLimit = 20

    private enum CodingKeys: CodingKey {
        case userId, serving, versions, hasWindow, window, labels, labelsError, recent
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(userId, forKey: .userId)
        try container.encode(serving, forKey: .serving)
        try container.encode(versions, forKey: .versions)
        try container.encodeIfPresent(hasWindow, forKey: .hasWindow)
        // null, not absent: who looks for it learns that there is none.
        try container.encode(window, forKey: .window)
        try container.encodeIfPresent(labels, forKey: .labels)
        try container.encodeIfPresent(labelsError, forKey: .labelsError)
        try container.encode(recent, forKey: .recent)
    }
}

/// A user's window as the API shows it, as of its own last event.
struct UserWindowView: Encodable {
    struct Span: Encodable {
        let count: UInt64
        let sum: Double
        let mean: Double?

        init(_ span: WindowSummary.Span) {
            count = span.count
            sum = span.sum
            mean = span.mean
        }
    }

    struct Seen: Encodable {
        let merchants: Int
        let countries: Int
        let devices: Int
    }

    let lastEvent: String
    let hour: Span
    let day: Span
    let week: Span
    let month: Span
    let usualAmount: Double?
    let seen: Seen
    let sentences: [String]

    private enum CodingKeys: String, CodingKey {
        case lastEvent, usualAmount, seen, sentences
        case hour = "last_hour"
        case day = "last_day"
        case week = "last_week"
        case month = "last_30_days"
    }

    /// nil: there is none, it is damaged, or nothing has come into it.
    init?(_ look: WindowLook?) {
        guard case .window(let window) = look, let summary = WindowSummary(window) else { return nil }
        lastEvent = TimeText.text(summary.lastEventMilliseconds)
        hour = Span(summary.hour)
        day = Span(summary.day)
        week = Span(summary.week)
        month = Span(summary.month)
        usualAmount = summary.usualAmount
        seen = Seen(
            merchants: summary.merchants.count, countries: summary.countries.count,
            devices: summary.devices.count)
        sentences = summary.sentences
    }
}
