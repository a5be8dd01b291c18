import Testing

@testable import ObjectStore

/// The examples that Amazon publishes.
@Suite("Signatures")
struct SignatureV4Tests {
    private static let emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    private let credentials = S3Credentials(
        accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

    /// Of "Signature Calculations for the Authorization Header" in the S3 API reference.
    struct Example: Sendable {
        var method = "GET"
        var path = "/"
        var query: [String: String] = [:]
        var headers: [String: String] = [:]
        var body = ""
        let signature: String
    }

    @Test(
        "S3's examples",
        arguments: [
            Example(
                path: "/test.txt", headers: ["range": "bytes=0-9"],
                signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            Example(
                method: "PUT", path: "/test%24file.text",
                headers: [
                    "date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY",
                ],
                body: "Welcome to Amazon S3.",
                signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            Example(
                query: ["lifecycle": ""],
                signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            Example(
                query: ["prefix": "J", "max-keys": "2"],
                signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ])
    func s3Examples(example: Example) {
        let hash = SignatureV4.hash(Array(example.body.utf8))
        var headers = example.headers.map { (name: $0.key, value: $0.value) }
        headers += [
            ("host", "examplebucket.s3.amazonaws.com"), ("x-amz-content-sha256", hash),
            ("x-amz-date", "20130524T000000Z"),
        ]
        let authorization = SignatureV4(credentials: credentials, region: "us-east-1", service: "s3")
            .authorization(
                method: example.method, path: example.path, query: S3Address.query(example.query),
                headers: headers,
                payloadHash: hash, time: "20130524T000000Z")
        #expect(authorization.hasSuffix("Signature=\(example.signature)"))
        #expect(
            authorization.hasPrefix(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders="
            ))
    }

    /// `get-vanilla` of the test suite for signature version 4.
    @Test("the plainest case of the test suite")
    func vanilla() {
        let credentials = S3Credentials(
            accessKey: "AKIDEXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        let authorization = SignatureV4(credentials: credentials, region: "us-east-1", service: "service")
            .authorization(
                method: "GET", path: "/", query: "",
                headers: [("x-amz-date", "20150830T123600Z"), ("host", "example.amazonaws.com")],
                payloadHash: Self.emptyHash, time: "20150830T123600Z")
        #expect(
            authorization
                == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                + "SignedHeaders=host;x-amz-date, "
                + "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
    }

    @Test("queries are encoded and sorted as the signature wants them")
    func queries() {
        #expect(
            S3Address.query(["prefix": "a b/ü+", "list-type": "2", "max-keys": "10"])
                == "list-type=2&max-keys=10&prefix=a%20b%2F%C3%BC%2B")
    }
}
