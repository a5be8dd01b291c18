import Foundation

/// Names that stand twice in one object of a JSON text. Readers differ in which of the two counts, so that neither is
/// what was meant for certain.
public enum RepeatedNames {
    /// - Parameter json: Sound JSON.
    /// - Returns: The first such name, and which element of the outermost array it stands in, where that is one; nil:
    ///   there is none.
    public static func first(in json: Data) -> (name: String, element: Int?)? {
        let bytes = [UInt8](json)
        // Of the objects around the place; nil for an array.
        var names: [Set<String>?] = []
        var isName = false
        var element = 0
        var at = 0
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "{"):
                names.append([])
                isName = true
            case UInt8(ascii: "["):
                names.append(nil)
                isName = false
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                _ = names.popLast()
                isName = false
            case UInt8(ascii: ","):
                isName = (names.last ?? nil) != nil
                if names.count == 1 { element += 1 }
            case UInt8(ascii: "\""):
                let end = endOfText(bytes, from: at)
                if isName, !names.isEmpty {
                    let name = text(bytes[at...end])
                    guard names[names.count - 1]?.insert(name).inserted != false else {
                        return (name, names[0] == nil ? element : nil)
                    }
                }
                isName = false
                at = end
            default: break
            }
            at += 1
        }
        return nil
    }

    /// The place of the quotation mark that ends a text.
    private static func endOfText(_ bytes: [UInt8], from start: Int) -> Int {
        var at = start + 1
        while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
            at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(at, bytes.count - 1)
    }

    private static func text(_ quoted: ArraySlice<UInt8>) -> String {
        let plain = String(decoding: quoted.dropFirst().dropLast(), as: UTF8.self)
        guard quoted.contains(UInt8(ascii: "\\")) else { return plain }
        let read = try? JSONSerialization.jsonObject(with: Data(quoted), options: .fragmentsAllowed)
        return read as? String ?? plain
    }
}
