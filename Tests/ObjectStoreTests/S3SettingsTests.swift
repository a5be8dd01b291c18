import Foundation
import Testing

@testable import ObjectStore

@Suite("Where a store is, and who may use it")
struct S3SettingsTests {
    @Test("a location is a path, a file URL or a bucket")
    func locations() throws {
        let current = FileManager.default.currentDirectoryPath
        for (uri, location) in [
            ("/data/lake", "/data/lake"), ("/data/lake/", "/data/lake"), ("/data/../lake", "/lake"),
            ("/", "/"),
            ("lake", current + "/lake"), ("file:///data/my%20lake", "/data/my lake"),
            ("file://localhost/a", "/a"),
            ("s3://bucket", "s3://bucket"), ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ] {
            #expect(try makeObjectStore(uri: uri).location == location)
        }
    }

    @Test(
        "what is no location",
        arguments: [
            "", "http://host/a", "file://host/a", "file://", "s3://", "s3:///a", "s3://ab",
            "s3://bucket/../a",
            "s3://bu cket/a", "s3://user:secret@bucket/a", "s3://bucket/a//b",
        ])
    func wrongLocations(uri: String) {
        let error = #expect(throws: ObjectStoreError.self) { try makeObjectStore(uri: uri) }
        guard case .invalidLocation = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("a bucket's address follows endpoint, region and style")
    func addresses() throws {
        func address(
            _ bucket: String, endpoint: String? = nil, region: String = "eu-west-1",
            _ addressing: S3Settings.Addressing = .automatic
        ) throws -> S3Address {
            var settings = S3Settings(endpoint: endpoint, region: region)
            settings.addressing = addressing
            return try S3Address(bucket: bucket, settings: settings)
        }
        let amazon = try address("bucket")
        #expect(
            amazon.origin == "https://bucket.s3.eu-west-1.amazonaws.com" && amazon.path("a/b c") == "/a/b%20c"
        )
        #expect(amazon.path("") == "/")
        let dotted = try address("my.bucket")
        #expect(dotted.origin == "https://s3.eu-west-1.amazonaws.com" && dotted.path("a") == "/my.bucket/a")
        let own = try address("bucket", endpoint: "http://127.0.0.1:9000/")
        #expect(own.origin == "http://127.0.0.1:9000" && own.host == "127.0.0.1:9000")
        #expect(own.path("a%2Fb") == "/bucket/a%252Fb" && own.path("") == "/bucket")
        let cloudflare = try address(
            "bucket", endpoint: "https://account.r2.cloudflarestorage.com:443", .virtualHost)
        #expect(cloudflare.host == "bucket.account.r2.cloudflarestorage.com" && cloudflare.path("a") == "/a")
        #expect(try address("bucket", endpoint: "http://[::1]:80").host == "[::1]")
    }

    @Test(
        "what is no endpoint",
        arguments: [
            "host:9000", "ftp://host", "https://", "https://user:secret@host", "https://host/path",
            "http://host:0",
        ])
    func wrongEndpoints(endpoint: String) {
        let error = #expect(throws: ObjectStoreError.self) {
            try S3ObjectStore(bucket: "bucket", settings: S3Settings(endpoint: endpoint))
        }
        #expect(error?.description.contains("secret") == false)
    }

    @Test("credentials come from the environment and are never printed")
    func credentials() throws {
        let environment = [
            "AWS_ACCESS_KEY_ID": "access-1", "AWS_SECRET_ACCESS_KEY": "secret-2",
            "AWS_SESSION_TOKEN": "token-3",
        ]
        let credentials = try #require(S3Credentials(environment: environment))
        #expect(credentials.accessKey == "access-1" && credentials.sessionToken == "token-3")
        let settings = S3Settings(credentials: credentials)
        var dumped = ""
        dump(settings, to: &dumped)
        for text in [
            "\(settings)", String(reflecting: settings), dumped, "\(credentials)",
            String(reflecting: credentials),
        ] {
            #expect(!text.contains("access-1") && !text.contains("secret-2") && !text.contains("token-3"))
        }
        #expect(S3Credentials(environment: ["AWS_ACCESS_KEY_ID": "a"]) == nil)
        #expect(S3Credentials(accessKey: "a", secretKey: "b", sessionToken: "").sessionToken == nil)
    }
}
