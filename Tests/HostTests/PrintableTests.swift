import Logging
import RecordedLog
import Testing

@testable import Host

/// A user's id cannot write lines of the log, nor move anybody's cursor.
@Suite struct PrintableTests {
    @Test(arguments: [
        ("user-1", "user-1"), ("Zoë 東京", "Zoë 東京"), ("a\nb", "a\\u{a}b"), ("\u{1B}[2J", "\\u{1b}[2J"),
        ("a\u{202E}b", "a\\u{202e}b"), ("a\u{2028}b", "a\\u{2028}b"), ("a\r\nb", "a\\u{d}\\u{a}b"),
        ("\u{9B}1m", "\\u{9b}1m"), ("a\tb", "a\\u{9}b"), ("", ""),
    ])
    func whatActsIsShown(text: String, shown: String) {
        #expect(printable(text) == shown)
    }

    @Test func aLineOfTheLogStaysOneLine() {
        let log = RecordedLog()
        let logger = Logger(label: "t") { _ in RepeatedLines(log.handler) }
        logger.error(
            "a tenant \"x\n2026-01-01 error: forged\" fails",
            metadata: [
                "tenant": "a\nb", "reason": "it is \"so\"", "version": "2", "list": ["a b", "c"],
                "forged": "a version=9",
            ])
        #expect(
            log.lines == [
                #"error a tenant "x\u{a}2026-01-01 error: forged" fails forged="a version=9" list=["\"a b\"", "c"] "#
                    + #"reason="it is \"so\"" tenant=a\u{a}b version=2"#
            ])
    }
}
