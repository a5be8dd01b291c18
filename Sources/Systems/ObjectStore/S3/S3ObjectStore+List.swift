extension S3ObjectStore {
    /// S3 gives at most so many objects at once.
    private static let pageSize = 1000

    /// Objects whose key starts with `prefix`, ascending by key, at most `limit`, after key `after`.
    ///
    /// Amazon's S3, R2 and most others list in the order of bytes. SeaweedFS lists folder by folder, so that `a/b` comes
    /// before `a-b`: there each call reads all that is below the prefix and sorts it. Objects of others whose names are
    /// no keys, such as the empty ones that end with a slash, are left out.
    public func list(
        prefix: String, after: String?, limit: Int
    ) throws(ObjectStoreError) -> [ObjectSummary] {
        guard ObjectKey.isValidPrefix(prefix) else { throw .invalidKey(prefix) }
        guard limit > 0 else { return [] }
        if !listsInOtherOrder.load(ordering: .relaxed) {
            let found = try read(prefix: prefix, after: after, limit: limit)
            let isSorted = zip(found, found.dropFirst()).allSatisfy { $0.key.precedesAsKey($1.key) }
            let isAfter = found.first.map { after?.precedesAsKey($0.key) ?? true } ?? true
            if isSorted, isAfter, !listsInOtherOrder.load(ordering: .relaxed) { return found }
            listsInOtherOrder.store(true, ordering: .relaxed)
        }
        let all = try read(prefix: prefix, after: nil, limit: .max)
            .filter { after?.precedesAsKey($0.key) ?? true }
            .sorted { $0.key.precedesAsKey($1.key) }
        return Array(all.prefix(limit))
    }

    /// Every object below a prefix, in one pass whatever order the server has.
    public func listAll(prefix: String) throws(ObjectStoreError) -> [ObjectSummary] {
        guard ObjectKey.isValidPrefix(prefix) else { throw .invalidKey(prefix) }
        return try read(prefix: prefix, after: nil, limit: .max).sorted { $0.key.precedesAsKey($1.key) }
    }

    /// Page by page, in the server's order.
    private func read(
        prefix: String, after: String?, limit: Int
    ) throws(ObjectStoreError) -> [ObjectSummary] {
        var found: [ObjectSummary] = []
        var token: String?
        repeat {
            var query = [
                // Keys may have characters that XML has not.
                "list-type": "2", "encoding-type": "url", "prefix": self.prefix + prefix,
                "max-keys": String(min(Self.pageSize, limit - found.count)),
            ]
            if let token {
                query["continuation-token"] = token
            } else {
                query["start-after"] = after.map { self.prefix + $0 }
            }
            let page = try readPage(query)
            for entry in page.entries {
                guard entry.key.beginsAsKey(with: self.prefix), let size = entry.sizeBytes else { continue }
                let key = String(decoding: entry.key.utf8.dropFirst(self.prefix.utf8.count), as: UTF8.self)
                guard ObjectKey.isValid(key) else { continue }
                found.append(ObjectSummary(key: key, sizeBytes: size, tag: VersionTag(entry.tag)))
            }
            guard page.nextToken != token || !page.isTruncated else {
                throw .failed(location: location, reason: "the store's list does not go on")
            }
            token = page.isTruncated ? page.nextToken : nil
        } while token != nil && found.count < limit
        return found
    }

    private func readPage(_ query: [String: String]) throws(ObjectStoreError) -> S3ListPage {
        var request = S3Client.Request(method: "GET", key: "", query: query)
        request.maximumAnswerSize = 16 << 20
        let answer = try client.send(request)
        guard answer.status == 200 else {
            let error = client.error(answer, key: "")
            guard case .notFound = error else { throw error }
            throw .failed(location: location, reason: "the list answers HTTP status 404")
        }
        guard let page = S3ListPage(answer.body) else {
            // Cut off, or somebody else's answer on the way: another attempt may get the store's own.
            throw .unavailable(location: location, reason: "the list is no answer of S3")
        }
        if answer.headers["server"]?.contains("SeaweedFS") == true {
            listsInOtherOrder.store(true, ordering: .relaxed)
        }
        let isSeaweed = answer.headers["server"]?.contains("SeaweedFS") == true
        guard let decoded = page.decoded(plusIsBlank: !isSeaweed) else {
            throw .failed(location: location, reason: "the list has a key that is not percent-encoded")
        }
        return decoded
    }
}
