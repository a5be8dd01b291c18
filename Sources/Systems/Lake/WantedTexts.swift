import CParquet

/// Texts of which rows must have one, as the C reader looks them up.
///
/// `@unchecked Sendable`: nothing changes the C texts after `init`; reading them from several threads is safe then.
final class WantedTexts: @unchecked Sendable {
    let count: Int
    private let pointer: OpaquePointer

    /// More texts are looked for by statistics alone: some Bloom filter would allow one of so many by chance.
    static let maximumFiltered = 64

    /// - Returns: nil when there is no text.
    /// - Throws: `LakeError.tooLarge` when there is no memory for them.
    init?(_ texts: Set<String>) throws(LakeError) {
        guard !texts.isEmpty else { return nil }
        var bytes: [UInt8] = []
        var ends: [Int64] = []
        for text in texts {
            bytes.append(contentsOf: text.utf8)
            ends.append(Int64(bytes.count))
        }
        // So that there is an address even where the only text is empty.
        bytes.append(0)
        var error = pq_error()
        let made = bytes.withUnsafeBytes {
            pq_texts_make(
                $0.bindMemory(to: CChar.self).baseAddress, ends, Int64(ends.count), &error)
        }
        guard let made else { throw .tooLarge(file: "the users that are looked for", reason: error.text) }
        pointer = made
        count = texts.count
    }

    deinit {
        pq_texts_close(pointer)
    }

    func withPointer<Result>(_ body: (OpaquePointer) -> Result) -> Result { body(pointer) }
}
