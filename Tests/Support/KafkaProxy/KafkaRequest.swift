/// What the proxy knows of a request, read from its bytes. Kafka's protocol guide gives the layouts.
public struct KafkaRequest: Sendable {
    /// The calls that the proxy looks into, or tests ask for.
    public enum Call: Int16, Sendable {
        case produce = 0
        case fetch = 1
        case listOffsets = 2
        case metadata = 3
        case offsetCommit = 8
        case offsetFetch = 9
        case findCoordinator = 10
        case joinGroup = 11
        case heartbeat = 12
        case leaveGroup = 13
        case syncGroup = 14
        case apiVersions = 18
        case initProducerID = 22
        case addPartitionsToTransaction = 24
        case addOffsetsToTransaction = 25
        case endTransaction = 26
        case transactionOffsetCommit = 28
        case describeCluster = 60

        /// The first version with compact strings and tagged fields.
        var firstFlexibleVersion: Int16 {
            switch self {
            case .produce, .metadata: 9
            case .fetch: 12
            case .listOffsets, .offsetFetch, .joinGroup: 6
            case .offsetCommit: 8
            case .findCoordinator, .apiVersions, .addPartitionsToTransaction, .addOffsetsToTransaction,
                .endTransaction, .transactionOffsetCommit:
                3
            case .heartbeat, .leaveGroup, .syncGroup: 4
            case .initProducerID: 2
            case .describeCluster: 0
            }
        }
    }

    public struct Place: Sendable, Hashable {
        public let topic: String
        public let partition: Int32
        public let offset: Int64
    }

    /// When it came, before the broker saw it.
    let received = ContinuousClock.now
    /// nil: one that the proxy does not know.
    public let call: Call?
    public let version: Int16
    public let correlation: Int32
    public let clientID: String
    public private(set) var group = ""
    public private(set) var member = ""
    public private(set) var generation: Int32 = -1
    public private(set) var transactionalID = ""
    /// Of a transaction's offsets.
    public private(set) var places: [Place] = []
    public private(set) var isCommit = false
    /// Asks for committed offsets that no open transaction is about to change (KIP-447).
    public private(set) var wantsStableOffsets = false
    /// Of a session or a transaction.
    public private(set) var timeoutMilliseconds: Int32 = 0
    /// Where a session's time stands in the bytes.
    private(set) var sessionTimePosition: Int?
    /// The largest batch that is to be stored.
    public private(set) var recordsSize = 0

    var isFlexible: Bool { call.map { version >= $0.firstFlexibleVersion } ?? false }

    init(_ bytes: [UInt8]) {
        var header = WireReader(bytes, isFlexible: false)
        call = Call(rawValue: header.int16())
        version = header.int16()
        correlation = header.int32()
        clientID = header.string()
        var body = header
        body.isFlexible = isFlexible
        body.skipTags()
        switch call {
        case .produce where version >= 3: readRecords(&body)
        case .joinGroup:
            group = body.string()
            sessionTimePosition = body.position
            timeoutMilliseconds = body.int32()
            if version >= 1 { _ = body.int32() }
            member = body.string()
        case .heartbeat, .syncGroup:
            group = body.string()
            generation = body.int32()
            member = body.string()
        case .leaveGroup:
            group = body.string()
            if version < 3 { member = body.string() } else if body.count() > 0 { member = body.string() }
        case .initProducerID:
            transactionalID = body.string()
            timeoutMilliseconds = body.int32()
        case .addPartitionsToTransaction where version < 4: transactionalID = body.string()
        case .addOffsetsToTransaction: transactionalID = body.string()
        case .endTransaction:
            transactionalID = body.string()
            body.skip(8 + 2)
            isCommit = body.int8() != 0
        case .transactionOffsetCommit: readTransactionOffsets(&body)
        case .offsetFetch where version >= 7: readOffsetFetch(&body)
        default: break
        }
    }

    /// Groups, since version 8 several, with the topics and partitions that are asked for, then the one word that matters.
    private mutating func readOffsetFetch(_ body: inout WireReader) {
        for _ in 0..<(version >= 8 ? body.count() : 1) {
            group = body.string()
            if version >= 9 {
                member = body.string()
                generation = body.int32()
            }
            for _ in 0..<body.count() {
                _ = body.string()
                body.skip(4 * body.count())
                body.skipTags()
            }
            if version >= 8 { body.skipTags() }
        }
        wantsStableOffsets = body.int8() != 0
    }

    private mutating func readTransactionOffsets(_ body: inout WireReader) {
        transactionalID = body.string()
        group = body.string()
        body.skip(8 + 2)
        if version >= 3 {
            generation = body.int32()
            member = body.string()
            _ = body.string()
        }
        for _ in 0..<body.count() {
            let topic = body.string()
            for _ in 0..<body.count() {
                let partition = body.int32()
                places.append(Place(topic: topic, partition: partition, offset: body.int64()))
                if version >= 2 { body.skip(4) }
                _ = body.string()
                body.skipTags()
            }
            body.skipTags()
        }
    }

    private mutating func readRecords(_ body: inout WireReader) {
        transactionalID = body.string()
        body.skip(2 + 4)
        for _ in 0..<body.count() {
            let topic = body.string()
            for _ in 0..<body.count() {
                places.append(Place(topic: topic, partition: body.int32(), offset: -1))
                recordsSize = max(recordsSize, body.skipBytes())
                body.skipTags()
            }
            body.skipTags()
        }
    }

    static let messageTooLarge: Int16 = 10
    static let invalidProducerEpoch: Int16 = 47

    /// The answer to a transaction's end that refuses it.
    func transactionEndAnswer(error: Int16) -> [UInt8] {
        var writer = WireWriter(isFlexible: isFlexible)
        writer.append(correlation)
        writer.endTags()
        writer.append(Int32(0))
        writer.append(error)
        writer.endTags()
        return writer.bytes
    }

    /// The answer to records that refuses all of them.
    func produceAnswer(error: Int16) -> [UInt8] {
        var writer = WireWriter(isFlexible: isFlexible)
        writer.append(correlation)
        writer.endTags()
        let topics = Dictionary(grouping: places, by: \.topic).sorted { $0.key < $1.key }
        writer.append(count: topics.count)
        for (topic, places) in topics {
            writer.append(topic)
            writer.append(count: places.count)
            for place in places {
                writer.append(place.partition)
                writer.append(error)
                writer.append(Int64(-1))
                writer.append(Int64(-1))
                if version >= 5 { writer.append(Int64(-1)) }
                if version >= 8 {
                    writer.append(count: 0)
                    writer.append("refused")
                }
                writer.endTags()
            }
            writer.endTags()
        }
        writer.append(Int32(0))
        writer.endTags()
        return writer.bytes
    }

    /// The answer to a transaction's offsets that refuses all of them.
    func transactionOffsetsAnswer(error: Int16) -> [UInt8] {
        var writer = WireWriter(isFlexible: isFlexible)
        writer.append(correlation)
        writer.endTags()
        writer.append(Int32(0))
        let topics = Dictionary(grouping: places, by: \.topic).sorted { $0.key < $1.key }
        writer.append(count: topics.count)
        for (topic, places) in topics {
            writer.append(topic)
            writer.append(count: places.count)
            for place in places {
                writer.append(place.partition)
                writer.append(error)
                writer.endTags()
            }
            writer.endTags()
        }
        writer.endTags()
        return writer.bytes
    }
}

/// Reads Kafka's types; past the end everything is zero or empty.
struct WireReader {
    private let bytes: [UInt8]
    private(set) var position = 0
    var isFlexible: Bool

    init(_ bytes: [UInt8], isFlexible: Bool) {
        self.bytes = bytes
        self.isFlexible = isFlexible
    }

    mutating func skip(_ count: Int) { position += count }

    mutating func int8() -> Int8 { integer() }
    mutating func int16() -> Int16 { integer() }
    mutating func int32() -> Int32 { integer() }
    mutating func int64() -> Int64 { integer() }

    private mutating func integer<Value: FixedWidthInteger>() -> Value {
        var value: Value = 0
        for _ in 0..<(Value.bitWidth / 8) {
            value = (Value.bitWidth == 8 ? 0 : value << 8) | Value(truncatingIfNeeded: byte())
        }
        return value
    }

    private mutating func byte() -> UInt8 {
        defer { position += 1 }
        return bytes.indices.contains(position) ? bytes[position] : 0
    }

    private mutating func variableInteger() -> Int {
        var value = 0
        for shift in stride(from: 0, to: 35, by: 7) {
            let next = byte()
            value |= Int(next & 127) << shift
            if next < 128 { break }
        }
        return value
    }

    /// Null is empty.
    mutating func string() -> String {
        let size = isFlexible ? variableInteger() - 1 : Int(int16())
        guard size > 0, position + size <= bytes.count else { return "" }
        defer { position += size }
        return String(decoding: bytes[position..<position + size], as: UTF8.self)
    }

    /// - Returns: Their number.
    mutating func skipBytes() -> Int {
        let size = max(0, isFlexible ? variableInteger() - 1 : Int(int32()))
        skip(size)
        return size
    }

    /// Of an array; null is empty.
    mutating func count() -> Int {
        let count = isFlexible ? variableInteger() - 1 : Int(int32())
        return max(0, min(count, bytes.count))
    }

    mutating func skipTags() {
        guard isFlexible else { return }
        for _ in 0..<min(variableInteger(), 64) {
            _ = variableInteger()
            skip(variableInteger())
        }
    }
}

/// Writes Kafka's types.
struct WireWriter {
    private(set) var bytes: [UInt8] = []
    let isFlexible: Bool

    init(isFlexible: Bool) { self.isFlexible = isFlexible }

    mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Of an array or a string, of fewer than 127 elements.
    mutating func append(count: Int) {
        if isFlexible { bytes.append(UInt8(count + 1)) } else { append(Int32(count)) }
    }

    mutating func append(_ text: String) {
        if isFlexible { append(count: text.utf8.count) } else { append(Int16(text.utf8.count)) }
        bytes.append(contentsOf: text.utf8)
    }

    mutating func endTags() { if isFlexible { bytes.append(0) } }
}
