import Crypto

/// Little-endian bytes of our own files, ended by their SHA-256.
struct ByteWriter {
    private(set) var bytes: [UInt8]

    init(magic: String) { bytes = Array(magic.utf8) }

    mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ value: Double) { append(value.bitPattern) }

    mutating func append(_ text: String) {
        append(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// The bytes and their checksum.
    consuming func finish() -> [UInt8] { bytes + Array(SHA256.hash(data: bytes)) }
}

/// Reads what a `ByteWriter` wrote.
struct ByteReader {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int
    private let name: String

    /// - Throws: `ReferenceError.damaged` for bytes of another kind, or with a wrong checksum.
    init(_ bytes: [UInt8], magic: String, name: String) throws(ReferenceError) {
        self.bytes = bytes
        self.name = name
        position = magic.utf8.count
        end = bytes.count - 32
        guard end >= position, bytes.starts(with: magic.utf8) else {
            throw .damaged(file: name, reason: "it does not begin as one")
        }
        guard SHA256.hash(data: bytes[..<end]).elementsEqual(bytes[end...]) else {
            throw .damaged(file: name, reason: "its checksum is wrong")
        }
    }

    mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(ReferenceError)
        -> Value
    {
        let size = MemoryLayout<Value>.size
        guard position + size <= end else { throw .damaged(file: name, reason: "it ends early") }
        defer { position += size }
        return bytes.withUnsafeBytes {
            Value(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Value.self))
        }
    }

    mutating func double() throws(ReferenceError) -> Double { Double(bitPattern: try integer(UInt64.self)) }

    mutating func text() throws(ReferenceError) -> String {
        let size = try count(of: 1)
        defer { position += size }
        return String(decoding: bytes[position..<position + size], as: UTF8.self)
    }

    /// A number of elements, each of at least `size` bytes.
    mutating func count(of size: Int) throws(ReferenceError) -> Int {
        let count = try integer(UInt64.self)
        guard count <= UInt64((end - position) / size) else {
            throw .damaged(file: name, reason: "it ends early")
        }
        return Int(count)
    }
}

/// What references cannot do. Stores that fail throw their own errors.
public enum ReferenceError: Error, Sendable, Hashable, CustomStringConvertible {
    case damaged(file: String, reason: String)
    case notFound(version: Int)
    /// The moment that was asked for, or the lag, makes no sense.
    case invalid(field: String, reason: String)
    case noData(String)
    case cancelled

    public var description: String {
        switch self {
        case .damaged(let file, let reason): "\(file) is damaged: \(reason)"
        case .notFound(let version):
            "there is no reference table v\(version): ml-service references list shows those that there are"
        case .invalid(let field, let reason): "\(field): \(reason)"
        case .noData(let reason): reason
        case .cancelled: "cancelled"
        }
    }
}
