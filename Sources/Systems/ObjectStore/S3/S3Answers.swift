import Exact
import Foundation

#if canImport(FoundationXML)
    import FoundationXML
#endif

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

/// Reads an XML document as a series of elements, each with the names of those around it.
private final class XMLText: NSObject, XMLParserDelegate {
    enum Event {
        case opened([String])
        /// The text of an element without elements in it.
        case text([String], String)
    }

    private let onEvent: (Event) -> Void
    private var path: [String] = []
    private var text = ""
    private var root: String?
    private var isDamaged = false

    private var isWhole: Bool { path.isEmpty && !isDamaged }

    private init(onEvent: @escaping (Event) -> Void) { self.onEvent = onEvent }

    /// - Returns: The name of the outermost element; nil when the bytes are no XML.
    static func read(_ xml: [UInt8], _ onEvent: (Event) -> Void) -> String? {
        // Every answer to HEAD is empty, and FoundationXML loses memory over what is no document.
        guard xml.first(where: { $0 > 0x20 }) == UInt8(ascii: "<") else { return nil }
        // FoundationXML ends the process at a name that is not UTF-8.
        guard String(validating: xml, as: UTF8.self) != nil else { return nil }
        return withoutActuallyEscaping(onEvent) { onEvent in
            let parser = XMLParser(data: Data(xml))
            let reader = XMLText(onEvent: onEvent)
            parser.delegate = reader
            parser.shouldResolveExternalEntities = false
            // FoundationXML answers true for a document that breaks off.
            return parser.parse() && parser.parserError == nil && reader.isWhole ? reader.root : nil
        }
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        // An answer of S3 nests four deep.
        guard path.count < 16 else { return parser.abortParsing() }
        if path.isEmpty { root = name }
        path.append(name)
        text = ""
        onEvent(.opened(path))
    }

    func parser(_ parser: XMLParser, parseErrorOccurred error: any Error) { isDamaged = true }

    func parser(_ parser: XMLParser, foundCharacters characters: String) { text += characters }

    func parser(_ parser: XMLParser, foundCDATA block: Data) {
        text += String(decoding: block, as: UTF8.self)
    }

    func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
    ) {
        onEvent(.text(path, text))
        text = ""
        if !path.isEmpty { path.removeLast() }
    }
}
