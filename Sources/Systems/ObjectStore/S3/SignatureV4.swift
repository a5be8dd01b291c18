import Crypto
import Exact

/// Amazon's request signature, version 4, as "Signature Version 4 signing process" describes it for S3.
///
/// Not libcurl's own: what that signs (order of headers, encoding of path and query) differs between its versions, and
/// nothing published can be checked against it. This is a pure function of its input.
struct SignatureV4 {
    let credentials: S3Credentials
    let region: String
    let service: String

    /// The value of the header `Authorization`.
    ///
    /// - Parameters:
    ///   - path: Percent-encoded as it is sent.
    ///   - query: Percent-encoded, sorted by name.
    ///   - headers: All headers to sign: lower-case names, among them `host` and `x-amz-date`.
    ///   - payloadHash: SHA-256 of the body in hexadecimal digits.
    ///   - time: `20130524T000000Z`, as in `x-amz-date`.
    func authorization(
        method: String, path: String, query: String, headers: [(name: String, value: String)],
        payloadHash: String,
        time: String
    ) -> String {
        let sorted = headers.sorted { $0.name < $1.name }
        let names = sorted.map(\.name).joined(separator: ";")
        let lines = sorted.map { "\($0.name):\($0.value)\n" }.joined()
        let request = "\(method)\n\(path)\n\(query)\n\(lines)\n\(names)\n\(payloadHash)"

        let day = String(time.prefix(8))
        let scope = "\(day)/\(region)/\(service)/aws4_request"
        let text = "AWS4-HMAC-SHA256\n\(time)\n\(scope)\n\(Self.hash(Array(request.utf8)))"

        var key = Array("AWS4\(credentials.secretKey)".utf8)
        for part in [day, region, service, "aws4_request", text] { key = Self.authenticate(part, key: key) }
        return
            "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope), SignedHeaders=\(names), Signature=\(Hex.text(key))"
    }

    /// SHA-256 in hexadecimal digits.
    static func hash(_ bytes: [UInt8]) -> String { Hex.text(SHA256.hash(data: bytes)) }

    private static func authenticate(_ text: String, key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: key)))
    }
}
