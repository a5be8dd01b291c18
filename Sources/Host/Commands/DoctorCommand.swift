import ArgumentParser
import Foundation

struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Try every part that the configuration names, and say what is wrong and what to do.",
        discussion: """
            Writes and removes a key in Redis and an object in the store, begins and aborts a transaction, and reads a
            few records with a group of its own. Ends with 69 when a part does not answer, with 1 when one is
            not as it must be, with 0 when there are only warnings.

            EXAMPLE
              ml-service doctor --config service.json
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
        let settings = try await common.settings()
        let findings = try await blocking { try Self.findings(settings) }
        if json {
            try printJSON(findings)
        } else {
            print(
                textTable(
                    ["", "part", "check", "found, and what to do"],
                    findings.flatMap { finding in
                        [[finding.state.rawValue, finding.part, finding.check, finding.detail]]
                            + (finding.advice.isEmpty ? [] : [["", "", "", "-> \(finding.advice)"]])
                    }))
        }
        if findings.contains(where: { $0.state == .away }) { throw ExitCode(ExitStatus.unavailable.rawValue) }
        if findings.contains(where: { $0.state == .bad }) { throw ExitCode(ExitStatus.failed.rawValue) }
    }

    private static func findings(_ settings: Settings) throws -> [Finding] {
        // The table says what the log would.
        var logger = Parts.logger(settings)
        logger.logLevel = .critical
        var findings = MachineCheckup(dataDirectory: settings.text("data.directory")).findings()
        findings += try detectors(settings)
        findings += HTTPCheckup(settings: settings, logger: logger).findings()
        if let file = settings.optionalText("stream.file") {
            let isThere = file == "-" || FileManager.default.isReadableFile(atPath: file)
            findings.append(
                Finding(
                    "stream", "file", isThere ? .good : .bad, file,
                    advice: isThere ? "" : "there is no such file to read (stream.file)"))
        } else if let brokers = settings.optionalText("stream.brokers") {
            findings += KafkaCheckup(
                kafka: try Streams.kafkaSettings(brokers, settings), settings: settings, logger: logger
            ).findings()
        } else {
            findings.append(Finding("stream", "embedded", .good, "an in-process cluster, at least once"))
        }
        if let registry = try Parts.schemaRegistry(settings, logger: logger) {
            let problem = registry.problem()
            findings.append(
                Finding(
                    "registry", "answers", problem == nil ? .good : .away,
                    "\(registry.place)\(problem.map { ": \($0)" } ?? "")",
                    advice: problem == nil
                        ? "" : "check registry.url, registry.ca, registry.user and registry.password"))
        }
        if let url = settings.optionalText("redis.url") {
            findings += RedisCheckup(
                address: try Parts.redisAddress(url, settings), prefix: settings.text("redis.prefix")
            ).findings()
        } else {
            findings.append(Finding("redis", "embedded", .good, "windows in memory, with a snapshot"))
        }
        let store = settings.optionalText("store.uri") ?? settings.dataPath("store")
        let models = StoreCheckup(part: "store") { try Parts.objectStore(store, settings) }
        findings.append(models.conditionalWrites())
        findings.append(
            models.content(
                prefix: "models/", advice: "train a first model: ml-service train --promote"))
        let lake = settings.optionalText("lake.uri") ?? settings.dataPath("lake")
        findings.append(
            StoreCheckup(part: "lake") { try Parts.objectStore(lake, settings) }.content(
                prefix: "processed/", advice: "nothing to train on yet: ml-service etl fills it"))
        return findings
    }

    private static func detectors(_ settings: Settings) throws -> [Finding] {
        let registry = try Parts.registry(settings, logger: Parts.logger(settings))
        let names = registry.detectors.map(\.info.id).joined(separator: ", ")
        return [
            Finding(
                "detectors", "loaded", registry.detectors.isEmpty ? .bad : .good,
                names.isEmpty ? "none" : names,
                advice: registry.detectors.isEmpty ? "the plugins lie beside the executable" : "")
        ]
            + registry.refusals.map {
                Finding("detectors", "refused", .warning, "\($0)", advice: "build it anew, or take it away")
            }
    }
}
