import CExpat

/// Reads an XML document as a series of elements, each with the names of those around it.
///
/// By Expat: Foundation's parser ends the process at a name that is not UTF-8 and at a processing instruction without
/// data, and takes a document that breaks off for a whole one.
final class XMLText {
    enum Event {
        case opened([String])
        /// The text of an element without elements in it.
        case text([String], String)
    }

    private let parser: XML_Parser
    private let onEvent: (Event) -> Void
    private var path: [String] = []
    private var text = ""
    private var root: String?

    private init(_ parser: XML_Parser, onEvent: @escaping (Event) -> Void) {
        self.parser = parser
        self.onEvent = onEvent
    }

    /// - Returns: The name of the outermost element; nil when the bytes are no XML in UTF-8, or no answer of a
    ///   store: with a document type, which could declare what text stands for, or nested deeper than any.
    static func read(_ xml: [UInt8], _ onEvent: (Event) -> Void) -> String? {
        guard let length = Int32(exactly: xml.count), let parser = XML_ParserCreate("UTF-8") else {
            return nil
        }
        defer { XML_ParserFree(parser) }
        return withoutActuallyEscaping(onEvent) { onEvent in
            let reader = XMLText(parser, onEvent: onEvent)
            XML_SetUserData(parser, Unmanaged.passUnretained(reader).toOpaque())
            XML_SetElementHandler(
                parser, { data, name, _ in XMLText.of(data)?.open(name) },
                { data, _ in XMLText.of(data)?.close() })
            XML_SetCharacterDataHandler(parser) { XMLText.of($0)?.append($1, $2) }
            XML_SetStartDoctypeDeclHandler(parser) { data, _, _, _, _ in XMLText.of(data)?.stop() }
            let status = withExtendedLifetime(reader) {
                xml.withUnsafeBytes { bytes in
                    XML_Parse(parser, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), length, 1)
                }
            }
            return status == XML_STATUS_OK ? reader.root : nil
        }
    }

    private static func of(_ data: UnsafeMutableRawPointer?) -> XMLText? {
        data.map { Unmanaged<XMLText>.fromOpaque($0).takeUnretainedValue() }
    }

    private func stop() { XML_StopParser(parser, 0) }

    private func open(_ name: UnsafePointer<XML_Char>?) {
        // An answer of S3 nests four deep.
        guard let name, path.count < 16 else { return stop() }
        let element = String(cString: name)
        if path.isEmpty { root = element }
        path.append(element)
        text = ""
        onEvent(.opened(path))
    }

    private func append(_ characters: UnsafePointer<XML_Char>?, _ count: Int32) {
        guard let characters else { return }
        characters.withMemoryRebound(to: UInt8.self, capacity: Int(count)) {
            text += String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self)
        }
    }

    private func close() {
        onEvent(.text(path, text))
        text = ""
        path.removeLast()
    }
}
