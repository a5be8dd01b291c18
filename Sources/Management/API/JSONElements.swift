/// Cuts a body that holds one JSON value, or an array of them, into the values' bytes, so that each can be read by the
/// stream's own parser. The values themselves are not looked into further than to find their ends.
enum JSONElements {
    /// - Returns: Whether it is an array, and the values.
    /// - Throws: `Problem` 400 when an array does not end, or something follows it.
    static func cut(_ bytes: [UInt8]) throws -> (isArray: Bool, values: [ArraySlice<UInt8>]) {
        guard let first = bytes.firstIndex(where: { !isSpace($0) }), bytes[first] == UInt8(ascii: "[") else {
            return (false, [bytes[...]])
        }
        var values: [ArraySlice<UInt8>] = []
        var (depth, start) = (0, first + 1)
        var isInText = false
        var at = first
        while at < bytes.count {
            let byte = bytes[at]
            if isInText {
                if byte == UInt8(ascii: "\\") {
                    at += 1
                } else if byte == UInt8(ascii: "\"") {
                    isInText = false
                }
            } else {
                switch byte {
                case UInt8(ascii: "\""): isInText = true
                case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
                case UInt8(ascii: ",") where depth == 1:
                    values.append(bytes[start..<at])
                    start = at + 1
                case UInt8(ascii: "]"), UInt8(ascii: "}"):
                    depth -= 1
                    if depth == 0 {
                        let last = bytes[start..<at]
                        if !values.isEmpty || !last.allSatisfy(isSpace) { values.append(last) }
                        guard byte == UInt8(ascii: "]"), bytes[(at + 1)...].allSatisfy(isSpace) else {
                            throw malformed("something follows the array")
                        }
                        return (true, values)
                    }
                default: break
                }
            }
            at += 1
        }
        throw malformed("the array does not end")
    }

    /// The bytes of the array that is the object's only member.
    ///
    /// - Parameter bytes: An object with this member and no other, which has been read as JSON before.
    static func member(_ name: String, of bytes: [UInt8]) throws -> [UInt8] {
        // A name has no bracket in it, so the first one begins the array and the last one ends it.
        guard let start = bytes.firstIndex(of: UInt8(ascii: "[")),
            let end = bytes.lastIndex(of: UInt8(ascii: "]")), start < end
        else { throw malformed("\(name) is no array") }
        return Array(bytes[start...end])
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    private static func malformed(_ reason: String) -> Problem {
        Problem(.badRequest, "invalid-json", "the body is no JSON: \(reason)")
    }
}
