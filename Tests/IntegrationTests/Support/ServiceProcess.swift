import Foundation
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// `ml-service` as its users run it: a process of its own, spoken to over HTTP and signals.
final class ServiceProcess {
    static let adminKey = "integration-test-key"

    let baseURL: URL
    private let process = Process()
    private let log: URL

    /// Starts `ml-service serve` and waits until it answers `/healthz`.
    ///
    /// - Parameters:
    ///   - arguments: Behind `serve`.
    ///   - fileHandles: That it may open; nil: as many as this process.
    ///   - variables: Of its environment, besides the settings.
    init(
        settings: [String: String], folder: URL, arguments: [String] = [], fileHandles: Int? = nil,
        variables: [String: String] = [:]
    ) async throws {
        let port = try Self.freePort()
        baseURL = try #require(URL(string: "http://127.0.0.1:\(port)"))
        log = folder.appending(path: "service-\(port).log")
        try Data().write(to: log)
        if let fileHandles, let executable = Self.executable {
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments =
                ["-c", "ulimit -n \(fileHandles) && exec \"$0\" \"$@\"", executable.path, "serve"] + arguments
        } else {
            process.executableURL = Self.executable
            process.arguments = ["serve"] + arguments
        }
        var environment = Self.environment.merging(variables) { $1 }
        for (key, value) in settings { environment[Self.environmentName(key)] = value }
        environment[Self.environmentName("http.port")] = "\(port)"
        environment[Self.environmentName("admin.key")] = Self.adminKey
        environment[Self.environmentName("data.directory")] = folder.appending(path: "data").path
        process.environment = environment
        let output = try FileHandle(forWritingTo: log)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        try await waitUntil("the service answers", timeoutSeconds: 180) { [self] in
            guard process.isRunning else { throw ServiceFailure("ml-service ended: \(logText)") }
            return (try? await get("/healthz").status) == 200
        }
    }

    deinit { kill() }

    var logText: String { (try? String(contentsOf: log, encoding: .utf8)) ?? "" }
    var processIdentifier: Int32 { process.processIdentifier }

    /// As a crash does: no handler runs.
    func kill() {
        guard process.isRunning else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// As Ctrl-C does, or an orchestrator.
    /// - Returns: The exit status.
    func interrupt(by signal: Int32 = SIGINT) async throws -> Int32 {
        Foundation.kill(process.processIdentifier, signal)
        try await waitUntil("the service ends", timeoutSeconds: 120) { [process] in !process.isRunning }
        return process.terminationStatus
    }

    struct Answer {
        let status: Int
        let body: Data
        var retryAfter: String?

        var text: String { String(decoding: body, as: UTF8.self) }

        /// A value inside, by names and indices.
        func value(_ path: Any...) -> Any? { value(at: path) }

        /// The number of a version, which is a text: `v3`.
        func version(_ path: Any...) -> Int? {
            guard let text = value(at: path) as? String, text.hasPrefix("v") else { return nil }
            return Int(text.dropFirst())
        }

        private func value(at path: [Any]) -> Any? {
            var value = try? JSONSerialization.jsonObject(with: body)
            for step in path {
                if let name = step as? String { value = (value as? [String: Any])?[name] }
                if let index = step as? Int {
                    let array = value as? [Any] ?? []
                    value = array.indices.contains(index) ? array[index] : nil
                }
            }
            return value
        }
    }

    func delete(_ path: String, key: String? = adminKey) async throws -> Answer {
        try await send(
            "DELETE", path, body: nil, headers: key.map { ["Authorization": "Bearer \($0)"] } ?? [:])
    }

    func get(_ path: String, key: String? = nil) async throws -> Answer {
        try await send("GET", path, body: nil, headers: key.map { ["Authorization": "Bearer \($0)"] } ?? [:])
    }

    func post(_ path: String, _ body: String = "", key: String? = adminKey, headers: [String: String] = [:])
        async throws -> Answer
    {
        var headers = headers
        if let key { headers["Authorization"] = "Bearer \(key)" }
        return try await send("POST", path, body: body, headers: headers)
    }

    private func send(_ method: String, _ path: String, body: String?, headers: [String: String]) async throws
        -> Answer
    {
        var request = URLRequest(url: try #require(URL(string: path, relativeTo: baseURL)))
        request.httpMethod = method
        request.timeoutInterval = 30
        request.httpBody = body.map { Data($0.utf8) }
        if body != nil { request.setValue("application/json", forHTTPHeaderField: "Content-Type") }
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        let (data, response) = try await URLSession.shared.data(for: request)
        let head = response as? HTTPURLResponse
        return Answer(
            status: head?.statusCode ?? 0, body: data,
            retryAfter: head?.value(forHTTPHeaderField: "Retry-After"))
    }

    /// Asks for training and waits for its end.
    ///
    /// - Returns: The finished job.
    func train(_ body: String) async throws -> Answer { try await job("/v1/train", body) }

    /// Asks for a job and waits for its end.
    ///
    /// - Returns: The finished job.
    func job(_ path: String, _ body: String) async throws -> Answer {
        let accepted = try await post(path, body)
        #expect(accepted.status == 202, "\(accepted.text)")
        let job = try await finished(try #require(accepted.value("job_id") as? String))
        #expect(job.value("state") as? String == "succeeded", "\(job.text)\n\(logText)")
        return job
    }

    /// A job when it has ended, in whatever way.
    func finished(_ id: String, timeoutSeconds: Double = 180) async throws -> Answer {
        var job = try await get("/v1/train/\(id)")
        try await waitUntil("job \(id) ends", timeoutSeconds: timeoutSeconds) { [self] in
            job = try await get("/v1/train/\(id)")
            return ["succeeded", "failed", "cancelled"].contains(job.value("state") as? String)
        }
        return job
    }

    // MARK: Where things are

    /// The folder that this test bundle was built into, with the executable and the plugins.
    static var buildFolder: URL {
        get throws {
            let candidates =
                [Bundle.main.bundleURL, URL(filePath: CommandLine.arguments[0])]
                + Bundle.allBundles.map(\.bundleURL)
            for start in candidates {
                var folder = start
                for _ in 0..<4 {
                    if FileManager.default.isExecutableFile(atPath: folder.appending(path: "ml-service").path)
                    {
                        return folder
                    }
                    folder.deleteLastPathComponent()
                }
            }
            return root.appending(path: ".build/debug")
        }
    }

    static var executable: URL? { try? buildFolder.appending(path: "ml-service") }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// Ours without the settings of whoever runs the tests.
    private static var environment: [String: String] {
        ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("ML_SERVICE_") }
    }

    private static func environmentName(_ key: String) -> String {
        "ML_SERVICE_" + key.uppercased().replacingOccurrences(of: ".", with: "_")
    }

    /// Runs a command of ml-service to its end.
    ///
    /// - Throws: `ServiceFailure` when it does not end with 0.
    @discardableResult
    static func run(_ arguments: [String], settings: [String: String] = [:]) throws -> String {
        let (status, text) = try output(arguments, settings: settings)
        guard status == 0 else {
            throw ServiceFailure("ml-service \(arguments.joined(separator: " ")): \(status)\n\(text)")
        }
        return text
    }

    /// Runs a command of ml-service to its end: its exit status, and what it wrote.
    static func output(
        _ arguments: [String], settings: [String: String] = [:]
    ) throws -> (status: Int32, text: String) {
        var environment = Self.environment
        for (key, value) in settings { environment[environmentName(key)] = value }
        return try Command.output(executable, arguments, environment: environment)
    }

    static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> Int in
                guard bind(descriptor, generic, length) == 0, getsockname(descriptor, generic, &length) == 0
                else {
                    return 0
                }
                return -1
            }
        }
        guard port != 0 else { throw ServiceFailure("no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

struct ServiceFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Polls until a condition holds, and says what it waited for when it does not.
func waitUntil(
    _ what: String, timeoutSeconds: Double, _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(50))
    }
    throw ServiceFailure("waited \(timeoutSeconds) s in vain until \(what)")
}

/// The real servers that scripts/stack started; a test that needs one fails without it.
enum Stack {
    static func variable(_ name: String) throws -> String {
        guard let value = ProcessInfo.processInfo.environment[name], !value.isEmpty else {
            throw ServiceFailure(
                "\(name) is not set: run the tests with `make test`, which starts the servers")
        }
        return value
    }

    static var brokers: String { get throws { try variable("KAFKA_BOOTSTRAP") } }
    static var redis: String { get throws { try variable("REDIS_URL") } }

    static var s3Settings: [String: String] {
        get throws {
            [
                "s3.endpoint": try variable("S3_ENDPOINT"), "s3.accesskey": try variable("S3_ACCESS_KEY"),
                "s3.secretkey": try variable("S3_SECRET_KEY"), "s3.region": try variable("S3_REGION"),
            ]
        }
    }
}
