import Testing

@testable import ObjectStore

@Suite("Answers of S3")
struct S3AnswersTests {
    @Test("a page of a list")
    func lists() throws {
        let xml = """
            <?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Name>bucket</Name><Prefix>a&amp;b/</Prefix><IsTruncated>true</IsTruncated>
              <!-- a comment -->
              <Contents><Key>a&amp;b/ x&#x1F600;%2F </Key><ETag>&quot;abc-2&quot;</ETag><Size>12</Size>
                <Owner><ID>Key</ID><Key>other</Key></Owner></Contents>
              <Contents><Key><![CDATA[a&b/y]]></Key><ETag>W/"d"</ETag><Size>x</Size></Contents>
              <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>
              <NextContinuationToken>1/+=</NextContinuationToken>
            </ListBucketResult>
            """
        let page = try #require(S3ListPage(Array(xml.utf8)))
        #expect(page.isTruncated && page.nextToken == "1/+=")
        #expect(
            page.entries == [
                .init(key: "a&b/ x😀%2F ", sizeBytes: 12, tag: "abc-2"),
                .init(key: "a&b/y", sizeBytes: nil, tag: "d"),
            ])
    }

    @Test("an error")
    func problems() throws {
        let xml =
            "<Error><Code>NoSuchKey</Code><Message>no &lt;such&gt; key</Message><Resource>/a</Resource></Error>"
        let problem = try #require(S3Problem(Array(xml.utf8)))
        #expect(problem.code == "NoSuchKey" && problem.message == "no <such> key")
    }

    @Test(
        "what is no answer of S3 is nil, not a trap",
        arguments: [
            "", "<", "<html><body>502 Bad Gateway</body></html>", "{}", "<Error></Error>",
            "<ListBucketResult><Contents>",
            "<Error><Code>a</Error>", String(repeating: "<a>", count: 10_000), "\0\0\0",
        ])
    func strange(text: String) {
        #expect(S3ListPage(Array(text.utf8)) == nil)
        #expect(S3Problem(Array(text.utf8)) == nil)
    }

    @Test("a name that is not UTF-8 is nil, not a trap")
    func wrongEncoding() {
        for name in [[0x61, 0xE3], [0xFF], [0x61, 0xED, 0xA0, 0x80]] as [[UInt8]] {
            let xml = [UInt8(ascii: "<")] + name + Array("></x>".utf8)
            #expect(S3ListPage(xml) == nil)
            #expect(S3Problem(xml) == nil)
        }
    }

    @Test("entities that would grow without end, or read a file, do neither")
    func entities() {
        var definitions = "<!ENTITY e0 \"ha\">"
        for level in 1...12 {
            let doubled = String(repeating: "&e\(level - 1);", count: 16)
            definitions += "<!ENTITY e\(level) \"\(doubled)\">"
        }
        let bomb = "<!DOCTYPE e [\(definitions)]><Error><Code>x</Code><Message>&e12;</Message></Error>"
        #expect(S3Problem(Array(bomb.utf8)) == nil)
        let file = """
            <?xml version="1.0"?><!DOCTYPE e [<!ENTITY f SYSTEM "file:///etc/passwd">]>
            <Error><Code>x</Code><Message>&f;</Message></Error>
            """
        #expect(S3Problem(Array(file.utf8)) == nil)
    }

    @Test("processing instructions and comments are passed over", arguments: ["<?x?>", "<?x y?>", "<!---->"])
    func passedOver(text: String) {
        let xml = "<?xml version=\"1.0\"?>\(text)<Error>\(text)<Code>a\(text)b</Code></Error>\(text)"
        #expect(S3Problem(Array(xml.utf8))?.code == "ab")
    }

    @Test("pauses between attempts grow, within their bounds")
    func pauses() {
        for attempt in 1...40 {
            let pause = S3Client.pauseMilliseconds(after: attempt, 100...5_000)
            #expect(pause >= 50 && pause <= min(5_000, 100 << min(attempt - 1, 20)))
        }
        #expect((0...1).contains(S3Client.pauseMilliseconds(after: 1, 0...0)))
    }
}
