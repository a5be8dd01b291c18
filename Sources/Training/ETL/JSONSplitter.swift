/// Elements of a JSON array, or values one after the other, by brackets and quotes alone: whether an element is JSON
/// is for the parser to say.
struct JSONSplitter: RecordSplitter {
    private enum Place {
        /// Before the first byte that says whether the file is an array.
        case start
        case between
        /// In a value that began with a bracket, or with none.
        case structure, scalar
        /// After the array's end.
        case end
    }

    private var place = Place.start
    private var isArray = false
    /// Open brackets of the element.
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    private var element: [UInt8] = []
    private var line = 1
    private var elementLine = 1

    mutating func split(_ piece: UnsafeBufferPointer<UInt8>, _ body: (RawRecord) throws -> Void) throws {
        for byte in piece {
            switch place {
            case .start where byte == UInt8(ascii: "["):
                isArray = true
                place = .between
            case .start, .between: try begin(byte, body)
            case .structure: try continueStructure(byte, body)
            case .scalar: try continueScalar(byte, body)
            case .end:
                // What follows the array is no part of it; it is for the parser to refuse.
                if !Self.isSpace(byte) {
                    isArray = false
                    try begin(byte, body)
                }
            }
            if byte == UInt8(ascii: "\n") { line += 1 }
        }
    }

    mutating func finish(_ body: (RawRecord) throws -> Void) throws {
        if place == .structure || place == .scalar { try emit(body) }
        if isArray, place != .end {
            try [].withUnsafeBufferPointer {
                try body(
                    RawRecord(
                        line: line, bytes: $0, source: $0, problem: "the file ends before its array does"))
            }
        }
    }

    private mutating func begin(_ byte: UInt8, _ body: (RawRecord) throws -> Void) throws {
        // A byte order mark is no element.
        if Self.isSpace(byte) || (place == .start && [0xEF, 0xBB, 0xBF].contains(byte)) { return }
        if isArray, place == .between, byte == UInt8(ascii: ",") { return }
        if isArray, place == .between, byte == UInt8(ascii: "]") {
            place = .end
            return
        }
        elementLine = line
        keep(byte)
        isInString = byte == UInt8(ascii: "\"")
        let opens = byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[")
        depth = opens ? 1 : 0
        place = opens ? .structure : .scalar
    }

    private mutating func continueStructure(
        _ byte: UInt8, _ body: (RawRecord) throws -> Void
    ) throws {
        keep(byte)
        if passString(byte) { return }
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            depth -= 1
            if depth == 0 { try emit(body) }
        default: break
        }
    }

    private mutating func continueScalar(_ byte: UInt8, _ body: (RawRecord) throws -> Void) throws {
        if byte == UInt8(ascii: "\n") { isInString = false }
        if passString(byte) { return keep(byte) }
        let ends =
            byte == UInt8(ascii: "\n") || (isArray && [UInt8(ascii: ","), UInt8(ascii: "]")].contains(byte))
        guard ends else { return keep(byte) }
        try emit(body)
        if isArray, byte == UInt8(ascii: "]") { place = .end }
    }

    /// Whether a byte belongs to a string, its quotes included.
    private mutating func passString(_ byte: UInt8) -> Bool {
        guard isInString else {
            isInString = byte == UInt8(ascii: "\"")
            return isInString
        }
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInString = false
        }
        return true
    }

    private mutating func keep(_ byte: UInt8) {
        if element.count < RecordSplitting.maximumBytes { element.append(byte) }
    }

    private mutating func emit(_ body: (RawRecord) throws -> Void) throws {
        try element.withUnsafeBufferPointer {
            try body(RawRecord(line: elementLine, bytes: $0, source: $0, problem: nil))
        }
        element.removeAll(keepingCapacity: true)
        isInString = false
        isEscaped = false
        place = .between
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }
}
