import Synchronization
import Transfers

/// Objects in a bucket of S3, R2 or another store that speaks S3's protocol, below a prefix.
///
/// Requests that meet a busy or absent store are repeated as `S3Settings` say; `.unavailable` is what remains after
/// that, and leaves open whether a write has been carried out.
public final class S3ObjectStore: ObjectStore {
    public let location: String
    let client: S3Client
    /// Nothing, or a path that ends with a slash.
    let prefix: String
    /// Whether the server has been seen to list in another order than that of bytes.
    let listsInOtherOrder = Atomic(false)

    private static let writeHeader = "x-amz-meta-write-id"

    /// - Throws: `.invalidLocation`. Nothing is contacted yet.
    public init(bucket: String, prefix: String = "", settings: S3Settings) throws(ObjectStoreError) {
        guard prefix.isEmpty || ObjectKey.isValid(prefix) else {
            throw .invalidLocation("'\(prefix)' is no prefix of keys: write s3://bucket/prefix")
        }
        let address = try S3Address(bucket: bucket, settings: settings)
        location = prefix.isEmpty ? "s3://\(bucket)" : "s3://\(bucket)/\(prefix)"
        client = S3Client(address: address, location: location, settings: settings)
        self.prefix = prefix.isEmpty ? "" : prefix + "/"
    }

    // MARK: Reading

    public func get(_ key: String, maximumSize: Int) throws(ObjectStoreError) -> StoredObject? {
        var request = S3Client.Request(method: "GET", key: try fullKey(key))
        // Room for an error's text, too.
        request.maximumAnswerSize = max(maximumSize, 1 << 20)
        let answer = try client.send(request)
        if answer.status == 200 {
            guard answer.body.count <= maximumSize else {
                throw .tooLarge(key: key, sizeBytes: answer.body.count, maximumSize: maximumSize)
            }
            return StoredObject(bytes: answer.body, tag: try tag(of: answer, key: key))
        }
        return try missing(answer, key: key)
    }

    public func get(_ key: String, range: Range<Int>) throws(ObjectStoreError) -> [UInt8] {
        guard range.lowerBound >= 0 else {
            throw .failed(location: location, reason: "\(key): \(range) is no range")
        }
        guard !range.isEmpty else { return try emptyRange(key, at: range.lowerBound) }
        var request = S3Client.Request(method: "GET", key: try fullKey(key))
        request.headers = [("range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")]
        request.maximumAnswerSize = max(range.count, 1 << 20)
        let answer = try client.send(request)
        guard answer.status == 206 else {
            if answer.status == 200 {
                throw .failed(
                    location: location, reason: "the store sent all of \(key) where a range was asked for")
            }
            throw client.error(answer, key: key)
        }
        // S3 cuts a range that passes the end; whoever asks for that has a wrong idea of the object.
        guard answer.body.count == range.count else {
            let total = answer.headers["content-range"]?.split(separator: "/").last.flatMap { Int($0) }
            if let total, total >= range.upperBound {
                throw .unavailable(
                    location: location,
                    reason: "\(key): \(range) was asked for and is there, but \(answer.body.count) bytes came"
                )
            }
            throw .failed(
                location: location,
                reason: "\(key): \(range) was asked for, and \(answer.body.count) bytes came")
        }
        return answer.body
    }

    public func head(_ key: String) throws(ObjectStoreError) -> ObjectSummary? {
        let answer = try client.send(S3Client.Request(method: "HEAD", key: try fullKey(key)))
        guard answer.status == 200 else { return try missing(answer, key: key) }
        guard let size = answer.headers["content-length"].flatMap({ Int($0) }), size >= 0 else {
            throw .failed(location: location, reason: "the store did not say how large \(key) is")
        }
        return ObjectSummary(key: key, sizeBytes: size, tag: try tag(of: answer, key: key))
    }

    // MARK: Writing

    @discardableResult
    public func put(
        _ key: String, _ bytes: [UInt8], if condition: PutCondition
    ) throws(ObjectStoreError) -> VersionTag {
        var request = S3Client.Request(method: "PUT", key: try fullKey(key), body: bytes)
        let writeID = String(UInt64.random(in: .min ... .max), radix: 16)
        switch condition {
        case .always: break
        case .absent: request.headers = [("if-none-match", "*"), (Self.writeHeader, writeID)]
        case .unchanged(let tag):
            request.headers = [("if-match", "\"\(tag.text)\""), (Self.writeHeader, writeID)]
        }
        let answer = try client.send(request)
        switch (answer.status, condition) {
        case (200...204, _): return try tag(of: answer, key: key)
        case (412, .absent), (412, .unchanged): return try tagOfOwnWrite(key, writeID: writeID)
        // No object can be the one that is expected.
        case (404, .unchanged) where S3Problem(answer.body)?.code == "NoSuchKey":
            throw .preconditionFailed(key: key)
        default: throw client.error(answer, key: key)
        }
    }

    public func delete(_ key: String) throws(ObjectStoreError) {
        let answer = try client.send(S3Client.Request(method: "DELETE", key: try fullKey(key)))
        let error = client.error(answer, key: key)
        if (200...204).contains(answer.status) || error == .notFound(key: key) { return }
        throw error
    }

    // MARK: Support

    /// A conditional write that was refused may have met itself: sent twice, because the first answer was lost. The
    /// object then bears this write's name.
    private func tagOfOwnWrite(_ key: String, writeID: String) throws(ObjectStoreError) -> VersionTag {
        let answer = try client.send(S3Client.Request(method: "HEAD", key: try fullKey(key)))
        guard answer.status == 200, answer.headers[Self.writeHeader] == writeID else {
            throw .preconditionFailed(key: key)
        }
        return try tag(of: answer, key: key)
    }

    /// HTTP has no empty ranges.
    private func emptyRange(_ key: String, at offset: Int) throws(ObjectStoreError) -> [UInt8] {
        guard let summary = try head(key) else { throw .notFound(key: key) }
        guard offset <= summary.sizeBytes else {
            throw .failed(
                location: location,
                reason: "\(key) has \(summary.sizeBytes) bytes, \(offset)..<\(offset) were asked for")
        }
        return []
    }

    /// nil when the answer says that there is no such object.
    private func missing<Result>(_ answer: HTTPAnswer, key: String) throws(ObjectStoreError) -> Result? {
        let error = client.error(answer, key: key)
        if error == .notFound(key: key) { return nil }
        throw error
    }

    private func tag(of answer: HTTPAnswer, key: String) throws(ObjectStoreError) -> VersionTag {
        guard let text = answer.headers["etag"], !text.isEmpty else {
            throw .failed(location: location, reason: "the store gave no ETag for \(key)")
        }
        return VersionTag(entityTag: text)
    }

    private func fullKey(_ key: String) throws(ObjectStoreError) -> String {
        guard ObjectKey.isValid(key), ObjectKey.isValid(prefix + key) else { throw .invalidKey(key) }
        return prefix + key
    }
}
