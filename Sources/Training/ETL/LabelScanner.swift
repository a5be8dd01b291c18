import Exact
import Foundation

/// Finds `is_fraud` in the JSON of a transaction, which the transaction's parser ignores.
enum LabelScanner {
    /// - Parameter json: An object that the parser has accepted, so brackets and quotes are balanced.
    /// - Returns: 1 anomalous, 0 not, -1 when there is none; nil for a value that is neither a boolean nor a number.
    static func label(_ json: UnsafeBufferPointer<UInt8>) -> Int8? {
        var label: Int8? = -1
        var depth = 0
        var isKey = false
        var position = 0
        while position < json.count {
            switch json[position] {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                isKey = depth == 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ","): isKey = depth == 1
            case UInt8(ascii: ":"): isKey = false
            case UInt8(ascii: "\""):
                let end = endOfString(json, from: position)
                let text = UnsafeBufferPointer(rebasing: json[position + 1..<end])
                if isKey, depth == 1, text.elementsEqual(TransactionColumns.label.utf8) {
                    // The last of several counts, as for the fields of a transaction.
                    label = value(UnsafeBufferPointer(rebasing: json[(end + 1)...]))
                }
                position = end
            default: break
            }
            position += 1
        }
        return label
    }

    /// The place of the quote that ends the string whose first quote is at `start`.
    private static func endOfString(_ json: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        var position = start + 1
        while position < json.count, json[position] != UInt8(ascii: "\"") {
            position += json[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(position, json.count - 1)
    }

    /// What stands after the key: a token or a text.
    private static func value(_ rest: UnsafeBufferPointer<UInt8>) -> Int8? {
        func isBlank(_ byte: UInt8) -> Bool { byte <= 0x20 || byte == UInt8(ascii: ":") }
        let start = rest.firstIndex { !isBlank($0) } ?? rest.endIndex
        var text = UnsafeBufferPointer(rebasing: rest[start...])
        if text.first == UInt8(ascii: "\"") {
            let end = endOfString(text, from: 0)
            let inner = UnsafeBufferPointer(rebasing: text[1..<end])
            guard !inner.contains(UInt8(ascii: "\\")) else { return unescaped(text[0...end]) }
            text = inner
        } else {
            text = UnsafeBufferPointer(
                rebasing: text.prefix { $0 > 0x20 && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "}") })
        }
        return meaning(text)
    }

    /// Of a text with escapes, such as `\\N`.
    private static func unescaped(_ quoted: Slice<UnsafeBufferPointer<UInt8>>) -> Int8? {
        var text = try? JSONDecoder().decode(String.self, from: Data(quoted))
        return text?.withUTF8 { meaning($0) }
    }

    private static func meaning(_ text: UnsafeBufferPointer<UInt8>) -> Int8? {
        switch ValueText.boolean(text) {
        case .missing: -1
        case .value(let label): label ? 1 : 0
        case .refused: nil
        }
    }
}
