import Foundation
import Testing

@testable import Host

/// docs/configuration.md says what the table of settings says.
@Suite struct ConfigurationPageTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Written anew by `ML_SERVICE_REGENERATE=1 swift test --filter ConfigurationPageTests`.
    @Test func thePageShowsTheTable() throws {
        let file = Self.root.appending(path: "docs/configuration.md")
        let regenerates = ProcessInfo.processInfo.environment["ML_SERVICE_REGENERATE"] == "1"
        if regenerates { try Data(Setting.documentation().utf8).write(to: file) }
        #expect(
            try String(contentsOf: file, encoding: .utf8) == Setting.documentation(),
            "write it anew: ml-service settings --markdown > docs/configuration.md")
    }

    @Test func everySettingStandsOnThePageOnce() {
        let page = Setting.documentation()
        for setting in Setting.all {
            #expect(page.components(separatedBy: "\n| `\(setting.key)` |").count == 2, "\(setting.key)")
        }
        #expect(Set(Setting.groups.map(\.name)).count == Setting.groups.count)
        for group in Setting.groups {
            #expect(Setting.all.contains { $0.group == group.name }, "nothing is of the group \(group.name)")
        }
    }

    /// Defaults are of their kind, and the page has those of the code, whatever is set where it is made.
    @Test func defaultsAreTakenAsTheyAre() async throws {
        let settings = try await Settings.load(file: nil, flags: [:], environment: [:])
        for setting in Setting.all { #expect(settings.text(setting.key) == setting.defaultValue) }
    }

    @Test(arguments: [Setting.minimalExample, Setting.fullExample])
    func examplesAreTaken(text: String) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ml-page-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // The secrets' files lie where the test can write them.
        let secrets = folder.appending(path: "secrets")
        try FileManager.default.createDirectory(at: secrets, withIntermediateDirectories: true)
        let moved = text.replacing("/run/secrets", with: secrets.path)
        for match in text.matches(of: /"\/run\/secrets\/([a-z0-9-]+)"/) {
            try Data("redis://redis:6379\n".utf8).write(to: secrets.appending(path: String(match.1)))
        }
        let file = folder.appending(path: "service.json")
        try Data(moved.utf8).write(to: file)
        let settings = try await Settings.load(
            file: file.path, flags: [:], environment: [:], notice: { _ in })
        #expect(settings.text("store.uri") == "s3://bank-ml/models")
        #expect(settings.text("redis.url").hasPrefix("redis://redis:6379"))
        if text == Setting.fullExample {
            #expect(try settings.properties("stream.properties")["sasl.username"] == "scoring")
            #expect(settings.integer("promote.identities") == 2)
        }
    }
}
