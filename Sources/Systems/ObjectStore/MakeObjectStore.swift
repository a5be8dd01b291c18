import Foundation

/// The store that a location names: a path, `file:///path`, or `s3://bucket/prefix`.
///
/// - Parameter settings: How to reach S3; of no consequence for a directory.
/// - Throws: `.invalidLocation`. Nothing is contacted yet.
public func makeObjectStore(
    uri: String, settings: S3Settings = S3Settings()
) throws(ObjectStoreError) -> any ObjectStore {
    guard let separator = uri.range(of: "://") else {
        guard !uri.isEmpty else { throw .invalidLocation("the store's location is empty") }
        return DirectoryObjectStore(root: uri)
    }
    let rest = uri[separator.upperBound...]
    switch uri[..<separator.lowerBound].lowercased() {
    case "file":
        let path = rest.hasPrefix("localhost/") ? rest.dropFirst("localhost".count) : rest
        guard path.hasPrefix("/"), let decoded = path.removingPercentEncoding else {
            throw .invalidLocation("'\(uri)' is no file location: write file:///path")
        }
        return DirectoryObjectStore(root: decoded)
    case "s3":
        let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var prefix = parts.count > 1 ? parts[1] : ""
        while prefix.hasSuffix("/") { prefix.removeLast() }
        return try S3ObjectStore(bucket: String(parts[0]), prefix: String(prefix), settings: settings)
    default:
        throw .invalidLocation("'\(uri)' is no store: write a path, file:///path or s3://bucket/prefix")
    }
}
