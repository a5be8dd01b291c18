import Foundation

/// An HTTPS server whose certificate nobody vouches for; `openssl` plays it.
final class SelfSignedServer {
    let port: Int
    /// Vouches for itself, where it is taken for an authority.
    let certificate: String
    private let process = Process()
    private let folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)")

    static let hasOpenSSL = FileManager.default.isExecutableFile(atPath: openSSL)
    private static let openSSL = "/usr/bin/openssl"

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let key = folder.appending(path: "key.pem").path
        certificate = folder.appending(path: "certificate.pem").path
        let making = Process()
        making.executableURL = URL(filePath: Self.openSSL)
        making.arguments = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost",
            "-keyout", key, "-out",
            certificate,
        ]
        making.standardError = FileHandle.nullDevice
        try making.run()
        making.waitUntilExit()

        // Port 0: openssl takes a free one and says which.
        process.executableURL = URL(filePath: Self.openSSL)
        process.arguments = ["s_server", "-accept", "localhost:0", "-key", key, "-cert", certificate, "-www"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        var text = ""
        while !text.contains("\n") || !text.contains("ACCEPT") {
            let piece = output.fileHandleForReading.availableData
            guard !piece.isEmpty else { throw CocoaError(.fileReadUnknown) }
            text += String(decoding: piece, as: UTF8.self)
        }
        let line = text.split(separator: "\n").last { $0.hasPrefix("ACCEPT") } ?? ""
        port = line.split(separator: ":").last.flatMap { Int($0.trimmingCharacters(in: .whitespaces)) } ?? 0
    }

    deinit {
        // It inherits a mask that keeps milder signals away.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: folder)
    }
}
