import ArgumentParser
import DetectorAPI
import Foundation
import Management
import Plugins

struct Detectors: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the loaded detectors and their parameters, or verify a plugin.",
        discussion: """
            EXAMPLE
              ml-service detectors list
              ml-service detectors verify libRobustZScorePlugin.so
            """,
        subcommands: [List.self, Verify.self, Probe.self, VerifyChild.self, Isolated.self],
        defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the loaded detectors and their parameters.",
            discussion: """
                Ends with 65 when a plugin was refused.

                EXAMPLE
                  ml-service detectors list --plugins plugins
                """)

        @Flag(help: "Print JSON, the same as GET /v1/detectors.")
        var json = false

        @OptionGroup var common: CommonOptions

        @Option(help: "Folders of plugins, colon-separated (plugins.folders).")
        var plugins: String?

        func run() async throws {
            let settings = try await common.settings(["plugins.folders": plugins])
            let registry = try await blocking { try Parts.registry(settings, logger: Parts.logger(settings)) }
            if json {
                try printJSON(DetectorsView(registry))
            } else {
                for detector in registry.detectors { Self.show(detector) }
                for refusal in registry.refusals { print("\(refusal)") }
            }
            if !registry.refusals.isEmpty { throw ExitCode(ExitStatus.data.rawValue) }
        }

        private static func show(_ detector: LoadedDetector) {
            print("\(detector.info.id) \(detector.info.version): \(detector.info.summary)")
            if let path = detector.path { print("  \(path)") }
            print("  sha256 \(detector.sha256)")
            if detector.isIsolated { print("  in a process of its own") }
            if !detector.capabilities.isEmpty {
                print("  \(detector.capabilities.map(\.rawValue).sorted().joined(separator: ", "))")
            }
            if let unit = detector.info.vectorUnit { print("  runs on \(unit)") }
            if detector.info.needsLabels { print("  learns from labels, and needs them") }
            for parameter in detector.info.parameters {
                let (name, value) = (parameter.name, parameter.defaultValue)
                print("  \(name) = \(value): \(parameter.meaning) (\(parameter.kind))")
            }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a plugin against everything that a detector promises.",
            discussion: """
                Each check runs in a child process with limits on time and memory, so that a crash or a hang is a
                failed check. A failure shows the smallest input on which it happens. Ends with 65 when a check
                failed.

                EXAMPLE
                  ml-service detectors verify libRobustZScorePlugin.so
                """)

        @Argument(help: "The plugin's library.")
        var plugin: String

        @Flag(help: "Print the result as JSON.")
        var json = false

        @Option(help: "Damaged artifacts to read.")
        var mutations = VerificationSettings().mutations

        @Option(help: "Seconds a check may take.")
        var seconds = 60

        @Option(help: "MiB of address space the child may have; 0: no limit, as sanitizers need.")
        var memory = VerificationSettings().limits.memoryMiB

        @Option(help: .hidden)
        var seed = VerificationSettings().seed

        func validate() throws {
            guard (0...10_000_000).contains(mutations), (1...86_400).contains(seconds), memory >= 0 else {
                throw ValidationError("--mutations, --seconds or --memory is out of range")
            }
        }

        func run() async throws {
            let (path, progress) = (plugin, ProgressDisplay())
            let isWatched = isatty(STDERR_FILENO) == 1
            var settings = VerificationSettings()
            settings.seed = seed
            settings.mutations = mutations
            settings.limits = ChildLimits(memoryMiB: memory, timeMilliseconds: 1_000 * seconds)
            let verification = try await blocking { [settings] in
                verifyInChild(
                    path: path, executable: "/proc/self/exe", arguments: ["detectors", "verify-child"],
                    settings: settings
                ) { check, fraction in
                    if isWatched { progress.show(stage: check.name, fraction: fraction) }
                }
            }
            progress.finish()
            if json {
                try printJSON(verification)
            } else {
                print(verification.table())
            }
            if !verification.hasPassed { throw ExitCode(ExitStatus.data.rawValue) }
        }
    }

    /// What `DetectorRegistry` starts to try a plugin.
    struct Probe: ParsableCommand {
        static let configuration = CommandConfiguration(shouldDisplay: false)

        @Argument var path: String

        func run() throws { throw ExitCode(runProbe(path: path)) }
    }

    /// What `Verify` starts.
    struct VerifyChild: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "verify-child", shouldDisplay: false)

        @Argument var arguments: [String]

        func run() throws { throw ExitCode(runVerification(arguments: arguments)) }
    }

    /// What runs a detector when `plugins.isolation` is `process`.
    struct Isolated: ParsableCommand {
        static let configuration = CommandConfiguration(shouldDisplay: false)

        @Argument var arguments: [String]

        func run() throws { throw ExitCode(runIsolatedDetector(arguments: arguments)) }
    }
}
