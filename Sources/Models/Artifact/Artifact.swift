import Crypto
import DetectorAPI
import Features
import Foundation

/// What is known of a model besides its payload; the JSON header of its artifact.
public struct ArtifactHeader: Codable, Sendable, Hashable {
    public struct Range: Codable, Sendable, Hashable {
        /// Days, `2026-01-31`, both included.
        public var from: String
        public var to: String

        public init(from: String, to: String) {
            self.from = from
            self.to = to
        }
    }

    /// nil: the global model.
    public var userID: String?
    public var version: Int
    public var detectorID: String
    public var detectorVersion: String
    public var parameters: [String: String]
    public var seed: UInt64
    public var preprocessing: Preprocessing
    /// `score < threshold` is an anomaly.
    public var threshold: Double
    /// The share of alerts that the threshold was chosen for.
    public var contamination: Double
    public var trainingRange: Range
    public var rowCount: Int
    public var metrics: [String: Double]
    /// The version that was active when this one was trained.
    public var parent: Int?
    public var createdMilliseconds: Int64
    /// The training job, so that a job that is run again finds what it has stored.
    public var jobID: String?
    /// Hexadecimal; filled in by `Artifact`.
    public var payloadSHA256 = ""

    public init(
        userID: String?, version: Int = 0, detectorID: String, detectorVersion: String,
        parameters: [String: String], seed: UInt64, preprocessing: Preprocessing, threshold: Double,
        contamination: Double, trainingRange: Range, rowCount: Int, metrics: [String: Double], parent: Int?,
        createdMilliseconds: Int64, jobID: String?
    ) {
        self.userID = userID
        self.version = version
        self.detectorID = detectorID
        self.detectorVersion = detectorVersion
        self.parameters = parameters
        self.seed = seed
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.contamination = contamination
        self.trainingRange = trainingRange
        self.rowCount = rowCount
        self.metrics = metrics
        self.parent = parent
        self.createdMilliseconds = createdMilliseconds
        self.jobID = jobID
    }

    public var tenant: Tenant { userID.map(Tenant.user) ?? .global }
}

/// Bytes that are no artifact, a damaged one, or one that this service did not sign.
public enum ArtifactError: Error, Sendable, Hashable, CustomStringConvertible {
    case notAnArtifact
    case unknownFormat(Int)
    case damaged(String)
    case wrongSignature

    public var description: String {
        switch self {
        case .notAnArtifact: "it is no model artifact"
        case .unknownFormat(let version):
            "its format is \(version); this service reads \(Artifact.formatVersion)"
        case .damaged(let reason): "it is damaged: \(reason)"
        case .wrongSignature: "it is not signed with this service's key"
        }
    }
}

/// One model as one file. Data only: nothing in it is executed.
///
///     8   magic "MLMODEL1"
///     4   format version, 1
///     4   size of the header
///     8   size of the payload
///     ..  header, JSON with sorted keys; then zeros up to a multiple of 64
///     ..  payload
///     32  HMAC-SHA256 of everything before, if there is a key
///
/// Little-endian.
public struct Artifact: Sendable {
    static let magic = Array("MLMODEL1".utf8)
    static let formatVersion = 1
    static let maximumHeaderSize = 16 << 20
    private static let fixedSize = 24

    public let header: ArtifactHeader
    public let payload: ArtifactBytes

    /// The bytes of a model.
    public static func encode(_ header: ArtifactHeader, payload: [UInt8], key: SymmetricKey?) throws
        -> [UInt8]
    {
        var header = header
        header.payloadSHA256 = hexadecimal(SHA256.hash(data: payload))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        let json = try encoder.encode(header)
        var bytes = magic
        for value in [UInt64(formatVersion) | UInt64(json.count) << 32, UInt64(payload.count)] {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes.append(contentsOf: json)
        bytes.append(contentsOf: [UInt8](repeating: 0, count: -bytes.count & 63))
        bytes.append(contentsOf: payload)
        if let key { bytes.append(contentsOf: HMAC<SHA256>.authenticationCode(for: bytes, using: key)) }
        return bytes
    }

    /// Checks lengths, signature and checksum before anything is used; the payload is not copied.
    public init(decoding file: ArtifactBytes, key: SymmetricKey?) throws {
        let bytes = file.bytes
        guard bytes.count >= Self.fixedSize, bytes.prefix(8).elementsEqual(Self.magic) else {
            throw ArtifactError.notAnArtifact
        }
        func load<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        let version = Int(load(8, UInt32.self))
        guard version == Self.formatVersion else { throw ArtifactError.unknownFormat(version) }
        let headerSize = Int(load(12, UInt32.self))
        let payloadSize = load(16, UInt64.self)
        guard headerSize <= Self.maximumHeaderSize, payloadSize <= UInt64(bytes.count) else {
            throw ArtifactError.damaged("its sizes are not those of the file")
        }
        let payloadStart = (Self.fixedSize + headerSize + 63) / 64 * 64
        let end = payloadStart + Int(payloadSize)
        guard bytes.count == end || bytes.count == end + SHA256.byteCount else {
            throw ArtifactError.damaged("it has \(bytes.count) bytes where its header says \(end)")
        }
        if let key {
            let signature = UnsafeRawBufferPointer(rebasing: bytes[end...])
            let signed = UnsafeRawBufferPointer(rebasing: bytes[..<end])
            guard signature.count == SHA256.byteCount,
                HMAC<SHA256>.isValidAuthenticationCode(Array(signature), authenticating: signed, using: key)
            else { throw ArtifactError.wrongSignature }
        }
        let json = UnsafeRawBufferPointer(rebasing: bytes[Self.fixedSize..<Self.fixedSize + headerSize])
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        do {
            header = try decoder.decode(ArtifactHeader.self, from: Data(json))
        } catch {
            throw ArtifactError.damaged("its header cannot be read")
        }
        let digest = SHA256.hash(data: UnsafeRawBufferPointer(rebasing: bytes[payloadStart..<end]))
        guard hexadecimal(digest) == header.payloadSHA256 else {
            throw ArtifactError.damaged("the payload's checksum differs")
        }
        payload = file.slice(payloadStart..<end)
    }
}
