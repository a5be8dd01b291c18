import Foundation
import Glibc

/// Carries out a plan, and sees after each disturbance that the stream moves again. Used from one thread.
final class ProveDisturbances {
    /// How long the stream may stand before the proof is given up.
    private static let patienceSeconds = 120.0

    private let scene: ProveScene
    private let servers: ProveServers?
    private let workers: ProveWorkers
    private let progress: ProveProgress
    private let feeder: ProveFeeder
    private let promotions: ProvePromotions?
    private let begin = ContinuousClock.now
    private var nextNumber: Int
    private(set) var report = ProveReport()

    init(
        _ scene: ProveScene, servers: ProveServers?, workers: ProveWorkers, progress: ProveProgress,
        feeder: ProveFeeder, promotions: ProvePromotions?
    ) {
        self.scene = scene
        self.servers = servers
        self.workers = workers
        self.progress = progress
        self.feeder = feeder
        self.promotions = promotions
        nextNumber = scene.options.workers + 1
    }

    /// - Throws: When a part has ended by itself, or the stream cannot be produced.
    func check() throws {
        try workers.check()
        try servers?.check()
        try feeder.check()
    }

    /// Disturbs until the time is up, and everything has come once.
    func run() throws {
        var plan = ProvePlan(scene.options)
        let end = begin + .seconds(scene.options.minutes * 60)
        while ContinuousClock.now < end || !plan.isThrough {
            let step = plan.next()
            try sleep(step.pauseSeconds)
            try carryOut(step)
        }
    }

    private func sleep(_ seconds: Double) throws {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            try check()
            Thread.sleep(forTimeInterval: 0.05)
        }
    }

    private func carryOut(_ step: ProvePlan.Step) throws {
        let disturbance = step.disturbance
        let numbers = workers.numbers
        let chosen = numbers[step.choice % numbers.count]
        switch disturbance {
        case .workerKilled:
            try measure(disturbance, ProveWorkers.name(chosen)) {
                workers.kill(chosen)
                try workers.start(chosen)
            }
        case .workerPaused:
            try pause(chosen, isAlone: numbers.count == 1)
        case .workerEnded: try end(chosen, disturbance, startsAgain: true)
        case .workerAdded:
            let number = nextNumber
            nextNumber += 1
            try measure(disturbance, ProveWorkers.name(number)) {
                try workers.start(number)
                try listen(number)
            }
        case .workerEndedJoining:
            let number = nextNumber
            nextNumber += 1
            try workers.start(number)
            // From before it asks to join until after it has.
            try sleep(0.3 + Double(step.choice % 20) / 10)
            try end(number, disturbance, startsAgain: false)
        case .workerRemoved:
            // One stays, whatever the order.
            guard numbers.count > 1 else { return }
            try end(chosen, disturbance, startsAgain: false)
        case .redisKilled, .redisPaused, .redisFailedOver, .storeRestarted, .brokerRestarted, .redisFlushed,
            .redisSetBack, .redisFailedBehind:
            try disturbServer(disturbance, awaySeconds: awaySeconds(step))
        case .storeAwayAtStart: try startWithoutStore(chosen, awaySeconds: awaySeconds(step))
        case .diskFilled: try fillDisk(of: chosen, restarts: step.choice / numbers.count % 2 == 0)
        case .storeKilledInPromotion: try promoteWithoutStore(step)
        case .globalPromoted, .usersPromoted:
            guard let promotions else { return }
            for number in numbers { try listen(number) }
            var words = ""
            try measure(disturbance, words) {
                words = try promotions.promote(disturbance, workers: workers)
            }
        }
    }

    private func awaySeconds(_ step: ProvePlan.Step) -> Double { 0.5 + Double(step.choice % 40) / 10 }

    /// Wakes it only after the others have taken its partitions over, and its session is over.
    private func pause(_ number: Int, isAlone: Bool) throws {
        let begin = ContinuousClock.now
        defer { workers.signal(number, SIGCONT) }
        func outlast() throws {
            let left = .seconds(ProveScene.sessionSeconds + 1.5) - (ContinuousClock.now - begin)
            try sleep(left / .seconds(1))
        }
        try measure(.workerPaused, ProveWorkers.name(number)) {
            workers.signal(number, SIGSTOP)
            guard isAlone else { return }
            try outlast()
            workers.signal(number, SIGCONT)
        }
        try outlast()
        workers.signal(number, SIGCONT)
        // It finds out, in the middle of whatever it was doing.
        try sleep(1.5)
    }

    private func listen(_ number: Int) throws {
        try proveWait("\(ProveWorkers.name(number)) answers", seconds: 60, check: check) {
            workers.isListening(number)
        }
    }

    private func end(_ number: Int, _ disturbance: Disturbance, startsAgain: Bool) throws {
        var words = ProveWorkers.name(number)
        try measure(disturbance, words) {
            let (seconds, remark) = try workers.end(number)
            words += ", ended after \(ProveReport.seconds(seconds))"
            if let remark {
                words += " \(remark)"
                report.remark("\(ProveWorkers.name(number)), told to end, did so \(remark)")
            }
            if startsAgain { try workers.start(number) }
        }
    }

    /// One knows what it knew, and one on a new machine, in another's place, knows nothing.
    private func startWithoutStore(_ number: Int, awaySeconds: Double) throws {
        guard let servers else { return }
        let replaced = workers.numbers.last { $0 != number } ?? number
        let new = nextNumber
        nextNumber += 1
        servers.objects.kill()
        for one in Set([number, replaced]) { workers.kill(one) }
        if replaced != number { try workers.start(number) }
        try workers.start(new)
        try sleep(awaySeconds)
        try servers.objects.start()
        let names =
            "\(ProveWorkers.name(number)), \(ProveWorkers.name(new)) in the place of \(ProveWorkers.name(replaced))"
        try measure(.storeAwayAtStart, "\(names); away for \(ProveReport.seconds(awaySeconds))") {
            try listen(new)
        }
    }

    /// The worker goes on, or starts, without room on its disk, and comes to know of a promotion.
    private func fillDisk(of number: Int, restarts: Bool) throws {
        try workers.fillDisk(of: number)
        defer { workers.freeDisk(of: number) }
        var words = "\(ProveWorkers.name(number))\(restarts ? ", killed and started again" : "")"
        try measure(.diskFilled, words) {
            if restarts {
                workers.kill(number)
                try workers.start(number)
            }
            guard let promotions else { return }
            for number in workers.numbers { try listen(number) }
            words += "; \(try promotions.promote(.usersPromoted, workers: workers))"
        }
        // What was freed in the meantime is taken, too.
        try workers.fillDisk(of: number)
        try sleep(2)
    }

    private func promoteWithoutStore(_ step: ProvePlan.Step) throws {
        guard let servers, let promotions else { return }
        for number in workers.numbers { try listen(number) }
        let away = awaySeconds(step)
        let what = step.choice % 2 == 0 ? Disturbance.globalPromoted : .usersPromoted
        let words = try promotions.promote(what, workers: workers) {
            // Before, in, or after the one write of a shard or another.
            Thread.sleep(forTimeInterval: Double(step.choice % 30) / 100)
            servers.objects.kill()
            Thread.sleep(forTimeInterval: away)
            try servers.objects.start()
        }
        try measure(.storeKilledInPromotion, "away for \(ProveReport.seconds(away)); \(words)") {}
    }

    private func disturbServer(_ disturbance: Disturbance, awaySeconds: Double) throws {
        guard let servers else { return }
        // Counted from the part's return, as nothing can move before.
        var away = "away for \(ProveReport.seconds(awaySeconds))"
        switch disturbance {
        case .redisKilled: try servers.restartRedis(awaySeconds: awaySeconds)
        case .redisPaused: servers.pauseRedis(seconds: awaySeconds + 1)
        case .brokerRestarted: try servers.restartBroker(awaySeconds: awaySeconds)
        case .storeRestarted: try servers.objects.restart(awaySeconds: awaySeconds)
        case .redisFailedOver:
            try servers.failRedisOver(behindSeconds: nil)
            away = ""
        case .redisFailedBehind: try servers.failRedisOver(behindSeconds: 2)
        case .redisFlushed: try servers.flushRedis()
        default: try servers.setRedisBack(seconds: 2)
        }
        try measure(disturbance, disturbance.losesWindows ? "" : away) {}
    }

    /// Disturbs, waits until every partition with something left to read has moved, and says so.
    ///
    /// - Parameter words: Asked afterwards.
    private func measure(
        _ disturbance: Disturbance, _ words: @autoclosure () -> String, _ body: () throws -> Void
    ) throws {
        let base = progress.look()
        let begin = ContinuousClock.now
        try body()
        // Every partition has something to read by then.
        try sleep(0.3)
        let ends = try progress.ends()
        let deadline = ContinuousClock.now + .seconds(Self.patienceSeconds)
        while !progress.hasMoved(from: base, ends: ends) {
            try check()
            guard ContinuousClock.now < deadline else { throw standing(disturbance.rawValue, ends) }
            Thread.sleep(forTimeInterval: 0.03)
        }
        let seconds = (ContinuousClock.now - begin) / .seconds(1)
        report.add(disturbance, recoverySeconds: seconds)
        let time = String(format: "%6.1f s", (begin - self.begin) / .seconds(1))
        let detail = words()
        let named = detail.isEmpty ? "" : " (\(detail))"
        say(
            "\(time)  \(disturbance.rawValue)\(named): all partitions moved after \(ProveReport.seconds(seconds))"
        )
    }

    /// Waits until everything that was produced is done.
    func drain() throws {
        let ends = try progress.ends()
        var last = progress.look()
        var since = ContinuousClock.now
        while !progress.hasReached(ends) {
            try check()
            if progress.known != last {
                last = progress.known
                since = .now
            }
            guard ContinuousClock.now - since < .seconds(Self.patienceSeconds) else {
                throw standing("all was produced", ends)
            }
            Thread.sleep(forTimeInterval: 0.1)
        }
    }

    private func standing(_ when: String, _ ends: ProveProgress.Offsets) -> ProveFailure {
        ProveFailure(
            "the stream has stood for \(Int(Self.patienceSeconds)) s after: \(when). Committed \(Self.text(progress.known))\(progress.failure.map { " (asked \($0.times) times in vain: \($0.reason))" } ?? ""); ends \(Self.text(ends)). \(workers.conditions)\(servers.map { ". \($0.dutiesDone)" } ?? "")"
        )
    }

    private static func text(_ offsets: ProveProgress.Offsets) -> String {
        offsets.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
    }
}

/// A line for whoever watches, at once also when piped.
func say(_ line: String) {
    print(printable(line))
    fflush(nil)
}
