import Kafka

/// Which trace a record belongs to, as W3C Trace Context has it in headers: it goes on with the record's verdict, whose bytes
/// know nothing of it.
///
/// Source: W3C Trace Context (Recommendation, 23 November 2021), sections 3.2 and 3.3.
public struct TraceContext: Sendable, Hashable {
    static let parentName = "traceparent"
    static let stateName = "tracestate"
    /// Of `traceparent`; later versions than 00 may be longer.
    static let maximumParentSize = 256
    /// Vendors are to pass on 512 bytes at least, and need not pass on more.
    static let maximumStateSize = 512

    /// `00-`, 32 digits of the trace, `-`, 16 of the parent's span, `-`, 2 of flags.
    let parent: [UInt8]
    let state: [UInt8]?

    /// - Parameters:
    ///   - parent: nil gives nil, as does what is no `traceparent`: it is not passed on.
    ///   - state: Passed on as it is where it may be a header's.
    public init?(parent: [UInt8]?, state: [UInt8]?) {
        guard let parent, Self.isValid(parent) else { return nil }
        self.parent = parent
        self.state = state.flatMap { state in
            let isText = state.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x09 }
            return isText && !state.isEmpty && state.count <= Self.maximumStateSize ? state : nil
        }
    }

    /// 32 digits.
    public var traceID: String { String(decoding: parent[3..<35], as: UTF8.self) }
    /// 16 digits.
    public var spanID: String { String(decoding: parent[36..<52], as: UTF8.self) }

    var headers: [KafkaHeader] {
        [KafkaHeader(name: Self.parentName, value: parent)]
            + (state.map { [KafkaHeader(name: Self.stateName, value: $0)] } ?? [])
    }

    private static func isValid(_ text: [UInt8]) -> Bool {
        func isHex(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }
        guard text.count >= 55, text.count <= maximumParentSize,
            [2, 35, 52].allSatisfy({ text[$0] == UInt8(ascii: "-") }),
            [0..<2, 3..<35, 36..<52, 53..<55].allSatisfy({ text[$0].allSatisfy(isHex) }),
            !text[..<2].elementsEqual("ff".utf8),
            text[3..<35].contains(where: { $0 != UInt8(ascii: "0") }),
            text[36..<52].contains(where: { $0 != UInt8(ascii: "0") })
        else { return false }
        // Version 00 ends here; what a later one adds begins with a dash.
        return text.count == 55
            || !text[..<2].elementsEqual("00".utf8) && text[55] == UInt8(ascii: "-")
                && text.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

/// What became of one batch, for whoever follows traces.
public struct BatchTrace: Sendable {
    /// Nanoseconds since 1970 UTC.
    public let startNanoseconds: UInt64
    public let endNanoseconds: UInt64
    public let transactions: Int
    public let anomalies: Int
    public let deadLetters: Int
    /// Seconds that the stages behind reading took.
    public let stageSeconds: [ServingStatus.Stage: Double]
    /// For people: `kafka://broker/topic`.
    public let stream: String
    /// Of the batch's records, the first ones; at most `maximumLinks`.
    public let links: [TraceContext]

    public static let maximumLinks = 64

    public init(
        startNanoseconds: UInt64, endNanoseconds: UInt64, transactions: Int, anomalies: Int, deadLetters: Int,
        stageSeconds: [ServingStatus.Stage: Double], stream: String, links: [TraceContext]
    ) {
        self.startNanoseconds = startNanoseconds
        self.endNanoseconds = endNanoseconds
        self.transactions = transactions
        self.anomalies = anomalies
        self.deadLetters = deadLetters
        self.stageSeconds = stageSeconds
        self.stream = stream
        self.links = links
    }
}
