import Crypto
import DetectorAPI
import Foundation

/// One model as one file. Data only: nothing in it is executed.
///
///     0   magic "MLMODEL1"
///     8   format version, 2; 1 is read, whose header has other columns (`ArtifactHeader.json()`)
///     12  size of the header
///     16  size of the payload
///     24  SHA-256 of the header
///     56  zeros
///     64  header, JSON with sorted names, itself with the payload's SHA-256; zeros up to a multiple of 64
///     ..  payload
///     ..  32 bytes: HMAC-SHA256 of everything before, if there is a key
///
/// Little-endian. Every byte is covered by a checksum or known beforehand, so that no change passes unseen; whether
/// the file is the service's own only the signature says.
public struct Artifact: Sendable {
    static let magic = Array("MLMODEL1".utf8)
    static let formatVersion = 2
    static let readableVersions = 1...2
    static let maximumHeaderSize = 4 << 20
    static let maximumPayloadSize = 1 << 30
    /// Of a whole file.
    public static let maximumSize =
        fixedSize + maximumHeaderSize + alignment + maximumPayloadSize + SHA256.byteCount
    static let fixedSize = 64
    private static let alignment = 64
    private static let headerHashRange = 24..<56

    /// Whether bytes begin as an artifact does.
    public static func isBegun(by bytes: some Collection<UInt8>) -> Bool { bytes.starts(with: magic) }

    public let header: ArtifactHeader
    /// Part of the file's own memory.
    public let payload: ArtifactBytes
    /// The header's bytes.
    let headerJSON: [UInt8]

    /// The bytes of a model. The same header, payload and key give the same bytes.
    ///
    /// - Throws: `ArtifactError.tooLarge`.
    public static func encode(_ header: ArtifactHeader, payload: [UInt8], key: SymmetricKey?) throws
        -> [UInt8]
    {
        var header = header
        header.payloadSHA256 = payload.withUnsafeBytes { "\(ArtifactHash(of: $0))" }
        let json = header.json()
        guard json.count <= maximumHeaderSize else {
            throw ArtifactError.tooLarge("a header of \(json.count) bytes, \(maximumHeaderSize) at most")
        }
        guard payload.count <= maximumPayloadSize else {
            throw ArtifactError.tooLarge("a payload of \(payload.count) bytes, \(maximumPayloadSize) at most")
        }
        var bytes = magic
        bytes.reserveCapacity(fixedSize + json.count + alignment + payload.count + SHA256.byteCount)
        for value in [UInt64(formatVersion) | UInt64(json.count) << 32, UInt64(payload.count)] {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes += json.withUnsafeBytes { ArtifactHash(of: $0).bytes }
        bytes += [UInt8](repeating: 0, count: fixedSize - bytes.count)
        bytes += json
        bytes += [UInt8](repeating: 0, count: -bytes.count & (alignment - 1))
        bytes += payload
        if let key { bytes += HMAC<SHA256>.authenticationCode(for: bytes, using: key) }
        return bytes
    }

    /// Checks sizes, signature and checksums before anything is used. The payload is not copied.
    ///
    /// - Parameter key: nil: a signature is not looked at.
    /// - Throws: `ArtifactError`.
    public init(decoding file: ArtifactBytes, key: SymmetricKey?) throws {
        try self.init(decoding: file) { signature, signed in
            guard let key else { return }
            guard signature.count == SHA256.byteCount,
                HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: signed, using: key)
            else { throw ArtifactError.wrongSignature }
        }
    }

    /// - Parameters:
    ///   - isPromoted: The catalogue names the hash of exactly these bytes. Then their checksums were looked at, and the
    ///     header read as a whole, when they were promoted; here that is left out, which is half of opening a small model.
    ///   - checkSignature: Told the signature, which is empty when there is none, and what it is of; throws when it
    ///     will not do.
    init(
        decoding file: ArtifactBytes, isPromoted: Bool = false,
        _ checkSignature: (_ signature: [UInt8], _ signed: UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let parts = try Parts(of: file.bytes)
        try checkSignature(Array(parts.signature), parts.signed)
        if isPromoted {
            try self.init(parts, of: file, isBrief: true)
            return
        }
        let headerHash = UnsafeRawBufferPointer(rebasing: file.bytes[Self.headerHashRange])
        guard ArtifactHash(of: parts.header) == ArtifactHash(stored: headerHash) else {
            throw ArtifactError.damaged("the header's checksum differs")
        }
        try self.init(parts, of: file)
        guard ArtifactHash(of: parts.payload) == ArtifactHash(hexadecimal: header.payloadSHA256) else {
            throw ArtifactError.damaged("the payload's checksum differs")
        }
    }

    /// Opens bytes that have passed `init(decoding:key:)` before and have not changed since. Of the header it reads what
    /// scoring needs, see `ArtifactHeader.brief`.
    init(checked file: ArtifactBytes) throws {
        try self.init(Parts(of: file.bytes), of: file, isBrief: true)
    }

    /// The same, where the brief header was kept beside the bytes.
    init(checked file: ArtifactBytes, brief: ArtifactHeader) throws {
        let layout = try Layout(file.bytes, fileSize: file.bytes.count)
        headerJSON = Array(file.bytes[Self.fixedSize..<layout.headerEnd])
        header = brief
        payload = file.slice(layout.payloadStart..<layout.end)
    }

    /// The header alone, from the beginning of a file.
    ///
    /// The payload is not looked at, nor is a signature, but for being there.
    ///
    /// - Parameters:
    ///   - beginning: Up to `Layout.headerEnd` at least.
    ///   - isSigned: There has to be a signature.
    /// - Throws: `ArtifactError`.
    static func header(_ beginning: UnsafeRawBufferPointer, _ layout: Layout, isSigned: Bool) throws
        -> ArtifactHeader
    {
        guard beginning.count >= layout.headerEnd else {
            throw ArtifactError.damaged("it ends in its header")
        }
        if isSigned, !layout.hasSignature { throw ArtifactError.wrongSignature }
        let json = UnsafeRawBufferPointer(rebasing: beginning[fixedSize..<layout.headerEnd])
        let hash = UnsafeRawBufferPointer(rebasing: beginning[headerHashRange])
        guard ArtifactHash(of: json) == ArtifactHash(stored: hash) else {
            throw ArtifactError.damaged("the header's checksum differs")
        }
        do {
            return try ArtifactHeader(json: json)
        } catch {
            throw ArtifactError.damaged("its header cannot be read: \(error)")
        }
    }

    private init(_ parts: Parts, of file: ArtifactBytes, isBrief: Bool = false) throws {
        headerJSON = Array(parts.header)
        do {
            header = try ArtifactHeader(json: parts.header, isBrief: isBrief)
        } catch {
            throw ArtifactError.damaged("its header cannot be read: \(error)")
        }
        payload = file.slice(parts.payloadRange)
    }

    /// Where the parts of a file lie, by its first bytes and its size.
    struct Layout {
        let headerEnd: Int
        let payloadStart: Int
        /// Of the payload; behind it is the signature, if there is one.
        let end: Int
        let hasSignature: Bool

        /// - Parameter beginning: 64 bytes at least, or the whole file.
        /// - Throws: `ArtifactError` when the sizes do not fit.
        init(_ beginning: UnsafeRawBufferPointer, fileSize: Int) throws {
            guard beginning.count >= magic.count, beginning.prefix(magic.count).elementsEqual(magic) else {
                throw ArtifactError.notAnArtifact
            }
            guard beginning.count >= fixedSize else {
                throw ArtifactError.damaged("it has \(beginning.count) bytes, fewer than every artifact")
            }
            func load<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
                T(littleEndian: beginning.loadUnaligned(fromByteOffset: offset, as: T.self))
            }
            let version = Int(load(8, UInt32.self))
            guard readableVersions.contains(version) else { throw ArtifactError.unknownFormat(version) }
            let headerSize = Int(load(12, UInt32.self))
            let payloadSize = load(16, UInt64.self)
            guard headerSize <= maximumHeaderSize, payloadSize <= UInt64(maximumPayloadSize) else {
                throw ArtifactError.damaged("its header tells of sizes that no artifact has")
            }
            headerEnd = fixedSize + headerSize
            payloadStart = (headerEnd + alignment - 1) / alignment * alignment
            end = payloadStart + Int(payloadSize)
            guard fileSize == end || fileSize == end + SHA256.byteCount else {
                throw ArtifactError.damaged("it has \(fileSize) bytes where its header says \(end)")
            }
            hasSignature = fileSize > end
        }
    }

    /// The parts of a file whose sizes are right.
    private struct Parts {
        let header: UnsafeRawBufferPointer
        let payload: UnsafeRawBufferPointer
        let payloadRange: Range<Int>
        /// Everything but the signature.
        let signed: UnsafeRawBufferPointer
        /// Empty, or the bytes of one.
        let signature: UnsafeRawBufferPointer

        init(of bytes: UnsafeRawBufferPointer) throws {
            let layout = try Layout(bytes, fileSize: bytes.count)
            let (headerEnd, payloadStart, end) = (layout.headerEnd, layout.payloadStart, layout.end)
            guard bytes[headerHashRange.upperBound..<fixedSize].allSatisfy({ $0 == 0 }),
                bytes[headerEnd..<payloadStart].allSatisfy({ $0 == 0 })
            else { throw ArtifactError.damaged("there is something between its parts") }
            header = UnsafeRawBufferPointer(rebasing: bytes[fixedSize..<headerEnd])
            payload = UnsafeRawBufferPointer(rebasing: bytes[payloadStart..<end])
            payloadRange = payloadStart..<end
            signed = UnsafeRawBufferPointer(rebasing: bytes[..<end])
            signature = UnsafeRawBufferPointer(rebasing: bytes[end...])
        }
    }
}
