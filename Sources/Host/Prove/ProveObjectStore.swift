import Foundation
import Glibc
import ObjectStore

/// An S3 server of a proof's own, which it may stop and start. Used from one thread.
final class ProveObjectStore {
    private static let bucket = "ml-service"
    private static let accessKey = "prove-access-key"
    private static let secretKey = "prove-secret-key"

    private let path: String
    private let folder: URL
    private let log: String
    private let children: ProveChildren
    private let ports: [String: Int]
    private var process: ProveProcess?

    /// Starts it, and waits until an object can be written.
    ///
    /// - Parameters:
    ///   - path: Of SeaweedFS' program.
    ///   - folder: Its data, and its log beside it.
    init(path: String, folder: URL, children: ProveChildren) throws {
        self.path = path
        self.folder = folder.appending(path: "s3")
        log = folder.appending(path: "s3.log").path
        self.children = children
        var ports: [String: Int] = [:]
        let names = ["s3", "filer", "volume", "master"].flatMap { [$0, "\($0).grpc"] }
        for name in names {
            var port = try FreePort.find()
            while ports.values.contains(port) { port = try FreePort.find() }
            ports[name] = port
        }
        self.ports = ports
        try FileManager.default.createDirectory(
            at: self.folder.appending(path: "data"), withIntermediateDirectories: true)
        let identities = """
            {"identities": [{"name": "prove", "credentials": [{"accessKey": "\(Self.accessKey)", \
            "secretKey": "\(Self.secretKey)"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
            """
        try Data(identities.utf8).write(to: self.folder.appending(path: "s3.json"))
        try start()
    }

    private func port(_ name: String) -> String { "\(ports[name] ?? 0)" }

    /// For the service, besides the store's place.
    var settings: [String: String] {
        [
            "s3.endpoint": "http://127.0.0.1:\(port("s3"))", "s3.accesskey": Self.accessKey,
            "s3.secretkey": Self.secretKey, "s3.region": "us-east-1",
        ]
    }

    let uri = "s3://\(bucket)"

    /// Waits until an object can be written.
    func start() throws {
        var arguments = [
            "-logtostderr=true", "server", "-dir=\(folder.path)/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-filer", "-s3", "-s3.config=\(folder.path)/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-volume.max=64", "-volume.preStopSeconds=0", "-master.volumeSizeLimitMB=256",
            "-master.telemetry=false", "-master.electionTimeout=1s",
        ]
        for (name, port) in ports.sorted(by: { $0.key < $1.key }) {
            let parts = name.split(separator: ".")
            arguments.append("-\(parts[0]).port\(parts.count > 1 ? ".grpc" : "")=\(port)")
        }
        for part in ["s3", "filer"] { arguments.append("-\(part).localSocket=\(folder.path)/\(part).sock") }
        process = try ProveProcess(
            "the S3 server", path, arguments, environment: ProcessInfo.processInfo.environment, log: log,
            children: children)
        let store = try S3ObjectStore(bucket: Self.bucket, settings: s3Settings)
        try proveWait("an object can be written", seconds: 90, check: check) {
            (try? store.put(".prove", Array("x".utf8), if: .always)) != nil
        }
    }

    private var s3Settings: S3Settings {
        S3Settings(
            endpoint: "http://127.0.0.1:\(port("s3"))",
            credentials: S3Credentials(accessKey: Self.accessKey, secretKey: Self.secretKey))
    }

    /// What it has acknowledged is with the kernel: killed, it loses nothing.
    func kill() {
        process?.kill()
        process = nil
    }

    func restart(awaySeconds: Double) throws {
        kill()
        Thread.sleep(forTimeInterval: awaySeconds)
        try start()
    }

    /// - Throws: When it has ended by itself.
    func check() throws {
        if let process, let end = process.end {
            throw ProveFailure("\(process.name) has ended by itself, \(end); see \(process.log)")
        }
    }

    func end() { kill() }
}
