import ArgumentParser
import Foundation
import Glibc

struct Prove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Show on real servers that nothing is lost, counted twice or different, whatever is killed.",
        discussion: """
            Several workers score a generated stream from topics of their own, while workers, Redis, the S3 server and the
            broker are killed, paused, restarted, failed over by a seeded plan; where this process may mount file systems (as root)
            workers' disks are filled, too. Then every committed verdict is compared with those of `replay` over the same stream. Exit 0: lost 0, duplicated 0, different 0; otherwise 70, and the logs are kept.

            With --stack it starts a broker, a Redis and an S3 server of its own. Otherwise it uses those of the settings
            (stream.brokers, redis.url), which it leaves in peace: only workers are disturbed.

            EXAMPLE
              ml-service prove --stack --minutes 10 --promote
              ml-service prove --config service.json --workers 5
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Start a broker, a Redis and an S3 server of its own, and disturb them too.")
    var stack = false

    @Option(help: "How long to disturb; longer if not everything has come once by then.")
    var minutes = 1.0

    @Option(help: "Seed of the stream and of the plan.")
    var seed: UInt64 = 1

    @Option(help: "How many workers to begin with.")
    var workers = 3

    @Option(help: "Partitions of the topic.")
    var partitions = 6

    @Option(help: "Transactions a second.")
    var rate = 300

    @Flag(help: "Promote the global model and many users' models meanwhile.")
    var promote = false

    @Flag(
        help:
            "Let Redis forget, too (--stack): then verdicts may be inexact, and those and only those are marked."
    )
    var loseWindows = false

    func validate() throws {
        guard minutes > 0, minutes <= 1_440 else {
            throw ValidationError("--minutes is above 0, at most 1440")
        }
        guard (1...50).contains(workers) else { throw ValidationError("--workers is from 1 to 50") }
        guard (1...100).contains(partitions) else { throw ValidationError("--partitions is from 1 to 100") }
        guard (10...100_000).contains(rate) else { throw ValidationError("--rate is from 10 to 100000") }
        guard Double(rate) * minutes <= 2e5 else {
            throw ValidationError("--rate times --minutes is at most 200000: more does not fit into memory")
        }
        guard !loseWindows || stack else { throw ValidationError("--lose-windows needs --stack") }
    }

    func run() async throws {
        let settings = try await common.settings()
        if !stack {
            for key in ["stream.brokers", "redis.url"] where settings.optionalText(key) == nil {
                throw UsageError("name \(key), or let --stack start servers")
            }
        }
        let options = ProveOptions(
            minutes: minutes, seed: seed, workers: workers, partitions: partitions, rate: rate,
            hasOwnServers: stack, promotes: promote, losesWindows: loseWindows)
        let isExact = try await blocking { try Self.prove(options, settings) }
        if !isExact { throw ExitCode(70) }
    }

    private static func prove(_ options: ProveOptions, _ settings: Settings) throws -> Bool {
        let run = String(UInt64.random(in: 0 ... .max), radix: 36)
        let folder = FileManager.default.temporaryDirectory.appending(path: "ml-prove-\(run)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let (children, disks) = (ProveChildren(), ProveDisks(folder: folder))
        var options = options
        options.fillsDisks = disks.refusal == nil
        // Twice the time and a quarter of an hour are more than any proof takes.
        let end = ProveEnd(children, disks, folder: folder, afterSeconds: options.minutes * 120 + 900)
        defer { end.release() }
        say(
            "seed \(options.seed), \(options.workers) workers, \(options.partitions) partitions, \(options.rate)/s; logs in \(folder.path)"
        )
        if let refusal = disks.refusal { say("no disk is filled: \(refusal)") }
        defer { disks.end() }
        do {
            defer { children.killAll() }
            let isExact = try ProveRun(
                options, settings, run: run, folder: folder, children: children, disks: disks
            ).run()
            if isExact {
                disks.end()
                try? FileManager.default.removeItem(at: folder)
            } else {
                say("NOT EXACT; logs, topics and verdicts are kept: \(folder.path)")
            }
            return isExact
        } catch let error as UsageError {
            try? FileManager.default.removeItem(at: folder)
            throw error
        } catch {
            say("the proof came to no end: \(error)")
            say("logs are kept: \(folder.path)")
            return false
        }
    }
}

/// Sees to it that no process outlives a proof that a signal ends, or that hangs.
final class ProveEnd {
    private static let signals = [SIGTERM, SIGINT, SIGHUP]

    private let sources: [any DispatchSourceSignal]
    private let timer: any DispatchSourceTimer

    init(_ children: ProveChildren, _ disks: ProveDisks, folder: URL, afterSeconds: Double) {
        @Sendable func end(_ reason: String, _ status: Int32) -> Never {
            children.killAll()
            disks.end()
            FileHandle.standardError.write(
                Data("ml-service: \(reason); logs are kept: \(folder.path)\n".utf8))
            Glibc._exit(status)
        }
        sources = Self.signals.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            // As the shell has it for a process that a signal ended.
            source.setEventHandler { end("the proof was interrupted", 128 + number) }
            source.activate()
            return source
        }
        timer = DispatchSource.makeTimerSource(queue: .global())
        timer.schedule(deadline: .now() + afterSeconds)
        timer.setEventHandler { end("the proof did not come to its end in \(Int(afterSeconds)) s", 70) }
        timer.activate()
    }

    func release() {
        timer.cancel()
        for (source, number) in zip(sources, Self.signals) {
            source.cancel()
            signal(number, SIG_DFL)
        }
    }
}
