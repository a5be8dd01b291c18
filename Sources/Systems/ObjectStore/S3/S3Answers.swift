import Exact

/// One page of a list.
struct S3ListPage: Sendable, Equatable {
    struct Entry: Sendable, Equatable {
        var key = ""
        var sizeBytes: Int?
        var tag = ""
    }

    var entries: [Entry] = []
    var isTruncated = false
    var nextToken: String?
    /// Whether keys are percent-encoded, as was asked for: not every store does it.
    var isEncoded = false

    /// The page with its keys as they are; nil where one is not encoded.
    ///
    /// - Parameter plusIsBlank: Amazon writes `+` for a blank. SeaweedFS leaves a plus as it is.
    func decoded(plusIsBlank: Bool) -> S3ListPage? {
        guard isEncoded else { return self }
        var page = self
        page.isEncoded = false
        for index in entries.indices {
            var key = entries[index].key
            if plusIsBlank { key = key.replacing("+", with: " ") }
            guard let bytes = PercentCoding.decode(key),
                let text = String(validating: bytes, as: UTF8.self)
            else { return nil }
            page.entries[index].key = text
        }
        return page
    }

    /// nil when the bytes are no such answer.
    init?(_ xml: [UInt8]) {
        var page: (entries: [Entry], isTruncated: Bool, nextToken: String?) = ([], false, nil)
        var isEncoded = false
        let root = XMLText.read(xml) { event in
            switch event {
            case .opened(["ListBucketResult", "Contents"]): page.entries.append(Entry())
            case .text(["ListBucketResult", "IsTruncated"], let text): page.isTruncated = text == "true"
            case .text(["ListBucketResult", "EncodingType"], let text): isEncoded = text == "url"
            case .text(["ListBucketResult", "NextContinuationToken"], let text): page.nextToken = text
            case .text(["ListBucketResult", "Contents", "Key"], let text):
                page.entries[page.entries.count - 1].key = text
            case .text(["ListBucketResult", "Contents", "Size"], let text):
                page.entries[page.entries.count - 1].sizeBytes = Int(text).flatMap { $0 >= 0 ? $0 : nil }
            case .text(["ListBucketResult", "Contents", "ETag"], let text):
                page.entries[page.entries.count - 1].tag = VersionTag(entityTag: text).text
            default: break
            }
        }
        guard root == "ListBucketResult" else { return nil }
        (entries, isTruncated, nextToken) = page
        self.isEncoded = isEncoded
    }
}

/// What S3 says is wrong.
struct S3Problem: Sendable, Equatable {
    var code = ""
    var message = ""

    /// nil when the bytes are no such answer.
    init?(_ xml: [UInt8]) {
        var problem = (code: "", message: "")
        let root = XMLText.read(xml) { event in
            switch event {
            case .text(["Error", "Code"], let text): problem.code = text
            case .text(["Error", "Message"], let text): problem.message = text
            default: break
            }
        }
        guard root == "Error", !problem.code.isEmpty else { return nil }
        (code, message) = problem
    }
}

extension VersionTag {
    /// Of a header or element `ETag`, whose quotes are not part of the tag.
    init(entityTag: String) {
        var text = entityTag[...]
        if text.hasPrefix("W/") { text = text.dropFirst(2) }
        if text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") { text = text.dropFirst().dropLast() }
        self.init(String(text))
    }
}
