/// Goes over the wire format of a model once before it is decoded: a few bytes can stand for a message that takes
/// hundreds in memory, so messages are counted first.
///
/// https://protobuf.dev/programming-guides/encoding: a field is a tag, number << 3 | wire type, and its value.
struct MessageScan {
    /// A forest of 10,000 trees has about 700,000.
    static let maximumMessages = 2_000_000

    private let bytes: UnsafeRawBufferPointer
    private var messages = 0

    /// The messages that hold most of a model; what lies in others is not looked at.
    private enum Kind {
        case model, graph, node, attribute, tensor, other

        /// The kind of the message in a field, or nil where there is none.
        func message(inField number: UInt64) -> Kind? {
            switch (self, number) {
            case (.model, 7): .graph
            case (.graph, 1): .node
            case (.graph, 5), (.attribute, 5): .tensor
            case (.node, 5): .attribute
            case (.model, 8), (.model, 14), (.model, 25), (.graph, 11), (.graph, 12), (.graph, 15),
                (.tensor, 13):
                .other
            default: nil
            }
        }
    }

    /// - Throws: `InterchangeError.notONNX` for bytes that are no message, or too many of them.
    static func check(_ bytes: UnsafeRawBufferPointer) throws(InterchangeError) {
        var scan = MessageScan(bytes: bytes)
        try scan.scan(.model, 0..<bytes.count)
    }

    private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Nests no deeper than `Kind` does.
    private mutating func scan(_ kind: Kind, _ range: Range<Int>) throws(InterchangeError) {
        messages += 1
        guard messages <= Self.maximumMessages else {
            throw .notONNX("it has more than \(Self.maximumMessages) parts")
        }
        if kind == .other { return }
        var at = range.lowerBound
        while at < range.upperBound {
            let start = at
            let tag = try varint(&at, range.upperBound)
            switch tag & 7 {
            case 0: _ = try varint(&at, range.upperBound)
            case 1: at += 8
            case 5: at += 4
            case 2:
                let length = try varint(&at, range.upperBound)
                guard length <= UInt64(range.upperBound - at) else { throw Self.cut(at: start) }
                let end = at + Int(length)
                if let inner = kind.message(inField: tag >> 3) { try scan(inner, at..<end) }
                at = end
            default: throw .notONNX("there is no protobuf field at byte \(start)")
            }
            guard at <= range.upperBound else { throw Self.cut(at: start) }
        }
    }

    private static func cut(at place: Int) -> InterchangeError {
        .notONNX("the field at byte \(place) ends after its message: the file is cut off or damaged")
    }

    private func varint(_ at: inout Int, _ end: Int) throws(InterchangeError) -> UInt64 {
        let start = at
        var value: UInt64 = 0
        for shift in stride(from: 0 as UInt64, to: 64, by: 7) {
            guard at < end else { throw Self.cut(at: start) }
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw .notONNX("the number at byte \(start) has more than ten bytes")
    }
}
