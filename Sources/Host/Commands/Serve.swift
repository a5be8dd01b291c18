import ArgumentParser
import Foundation
import Glibc
import Logging
import Management
import Metrics
import NIOPosix
import ServiceLifecycle

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score a stream, train models and answer HTTP, until stopped.",
        discussion: """
            With no configuration everything is embedded: an in-process Kafka, windows in memory with a snapshot,
            models and lake in directories. Naming a broker, a Redis or a bucket switches that part.

            EXAMPLE
              ml-service serve --stream demo/stream.jsonl --show
              ml-service serve --config service.json --role inference,management
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Read transactions from this JSONL file, or - for standard input (stream.file).")
    var stream: String?

    @Option(help: "Records a second at most, for a file (stream.rate).")
    var rate: Double?

    @Option(help: "What this process does: inference, training, management; comma-separated.")
    var role = "inference,training,management"

    @Flag(help: "Show throughput and anomalies as they come, on standard output.")
    var show = false

    @Option(
        help: ArgumentHelp(
            "What the transactions are, as CSV with transaction_id and is_fraud: shows precision and recall at the end.",
            valueName: "file"))
    var labels: String?

    enum Role: String, CaseIterable { case inference, training, management }

    func run() async throws {
        // Models, windows and recent anomalies are nobody else's to read.
        umask(0o077)
        let roles = try Set(
            role.split(separator: ",").map { name in
                guard let role = Role(rawValue: String(name)) else {
                    throw UsageError("there is no role \(name); roles are inference, training, management")
                }
                return role
            })
        guard !roles.isEmpty else {
            throw UsageError("--role names none; roles are inference, training, management")
        }
        let settings = try await common.settings(["stream.file": stream, "stream.rate": rate.map { "\($0)" }])
        let registry = PrometheusRegistry()
        MetricsSystem.bootstrap(registry)
        let threads = NIOThreadPool(numberOfThreads: 4)
        threads.start()
        defer { threads.shutdownGracefully { _ in } }
        let tally = try labels.map { try LabelTally(path: $0) }
        let display = show || tally != nil ? ServingDisplay(tally: tally, showsLines: show) : nil
        let (services, logger) = try await threads.runIfActive {
            let assembly = try Assembly(settings, roles, threads: threads, display: display)
            return (try assembly.services(metrics: registry), assembly.logger)
        }
        var configuration = ServiceGroupConfiguration(
            services: services.map {
                // A stream that has ended ends neither training nor the API.
                .init(
                    service: $0, successTerminationBehavior: .ignore,
                    failureTerminationBehavior: .gracefullyShutdownGroup)
            }, logger: logger)
        configuration.gracefulShutdownSignals = [.sigint, .sigterm]
        // Kubernetes and systemd wait longer; whoever restarts a worker waits for this.
        configuration.maximumGracefulShutdownDuration = .seconds(9)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch is ThreadLeftBehind {
            // A thread hangs in a library: nothing that ends in order would come to an end beside it.
            display?.finish()
            Glibc._exit(ExitStatus.failed.rawValue)
        }
        display?.finish()
    }
}
