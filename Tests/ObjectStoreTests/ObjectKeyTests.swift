import Testing

@testable import ObjectStore

@Suite("Keys")
struct ObjectKeyTests {
    @Test(
        "what may be a key",
        arguments: [
            "a", "models/global/v2.model", "users/3f/a%2Fb%20c%F0%9F%98%80/v3.model", "a..b/...",
            "with space/ü😀", "a\nb", "a/\u{7F}",
            String(repeating: "x", count: 1024),
        ])
    func valid(key: String) { #expect(ObjectKey.isValid(key)) }

    @Test(
        "what may not",
        arguments: [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/..", "./a", "a\0b",
            String(repeating: "x", count: 1025),
        ])
    func invalid(key: String) { #expect(!ObjectKey.isValid(key)) }

    @Test("prefixes end anywhere, but not in a segment that no key has")
    func prefixes() {
        for prefix in ["", "a", "a/", "a/b", "a/.", "a/.."] {
            #expect(ObjectKey.isValidPrefix(prefix), "\(prefix)")
        }
        for prefix in ["/", "//", "a//", "../", "../a", "a/../", "a/../b"] {
            #expect(!ObjectKey.isValidPrefix(prefix), "\(prefix)")
        }
    }

    @Test("keys are ordered by their bytes")
    func order() {
        #expect("a-b".precedesAsKey("a/b") && "Z".precedesAsKey("a") && "z".precedesAsKey("ü"))
        // The same to Unicode, not to a store.
        #expect(!"u\u{308}".beginsAsKey(with: "ü") && "u\u{308}".precedesAsKey("ü"))
    }
}
