import Foundation

/// Where a bucket answers: checked once, then turned into the parts of each request.
struct S3Address: Sendable {
    let bucket: String
    /// `https://host[:port]`, with the bucket in it where it belongs there.
    let origin: String
    /// What goes into the header `Host`.
    let host: String
    /// `/bucket` or nothing.
    private let basePath: String

    init(bucket: String, settings: S3Settings) throws(ObjectStoreError) {
        guard Self.isBucketName(bucket) else {
            throw .invalidLocation("'\(bucket)' is no bucket name: write s3://bucket/prefix")
        }
        let text = settings.endpoint.flatMap { $0.isEmpty ? nil : $0 }
        guard let parts = URLComponents(string: text ?? "https://s3.\(settings.region).amazonaws.com"),
            let scheme = parts.scheme?.lowercased(), scheme == "https" || scheme == "http",
            let name = parts.percentEncodedHost, !name.isEmpty, parts.user == nil, parts.password == nil,
            parts.path.isEmpty || parts.path == "/", parts.query == nil, parts.fragment == nil
        else {
            throw .invalidLocation(
                "the S3 endpoint must look like https://host[:port], without credentials or a path")
        }
        guard (1...65535).contains(parts.port ?? 1) else {
            throw .invalidLocation("the S3 endpoint's port is not between 1 and 65535")
        }
        // A port that the scheme implies is not sent, so it must not be signed either.
        let isImplied = parts.port == nil || parts.port == (scheme == "https" ? 443 : 80)
        let port = isImplied ? "" : parts.port.map { ":\($0)" } ?? ""
        let isInHost =
            switch settings.addressing {
            case .path: false
            case .virtualHost: true
            // A certificate for *.host does not cover a bucket with dots.
            case .automatic: text == nil && !bucket.contains(".")
            }
        self.bucket = bucket
        host = (isInHost ? "\(bucket)." : "") + name + port
        origin = "\(scheme)://\(host)"
        basePath = isInHost ? "" : "/\(bucket)"
    }

    /// The encoded path of an object, or with an empty key of the bucket.
    func path(_ key: String) -> String {
        key.isEmpty && !basePath.isEmpty
            ? basePath : "\(basePath)/\(ObjectKey.percentEncoded(key.utf8, keepingSlashes: true))"
    }

    /// An encoded query, sorted as it must be for the signature.
    static func query(_ items: [String: String]) -> String {
        items.map { name, value in
            "\(ObjectKey.percentEncoded(name.utf8, keepingSlashes: false))="
                + ObjectKey.percentEncoded(value.utf8, keepingSlashes: false)
        }
        .sorted().joined(separator: "&")
    }

    private static func isBucketName(_ name: String) -> Bool {
        (3...63).contains(name.utf8.count)
            && name.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                    UInt8(ascii: "."):
                    true
                default: false
                }
            } && !name.hasPrefix(".") && !name.contains("..")
    }
}
