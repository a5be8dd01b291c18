/// One run of the simulator: how large, and what befalls it when. Everything else follows from the seed.
struct Schedule: Sendable, CustomStringConvertible {
    var seed: UInt64
    var users: Int
    var records: Int
    var workers: Int
    var partitions: Int
    var isExactlyOnce: Bool
    var faults: [Fault]

    struct Fault: Sendable, CustomStringConvertible {
        var time: Int
        var kind: Kind

        var description: String { "\(time): \(kind)" }
    }

    enum Kind: Sendable {
        /// SIGKILL; a new process with the same name comes after a while.
        case kill(worker: Int, restartAfter: Int)
        /// SIGSTOP and SIGCONT: long ones outlast the session, and a zombie comes back.
        case pause(worker: Int, ticks: Int)
        /// SIGTERM; another process comes after a while.
        case stop(worker: Int, restartAfter: Int)
        /// The same at a step of the protocol: before the worker does it, or with the request on its way.
        case killAt(worker: Int, step: Step, isSent: Bool, restartAfter: Int)
        case pauseAt(worker: Int, step: Step, isSent: Bool, ticks: Int)
        /// Answers to this worker are lost after their effect.
        case loseAnswers(worker: Int, ticks: Int)
        case storeAway(ticks: Int)
        case brokerAway(ticks: Int)
        /// The store comes back without its last writes: a restart with an older log, a failover to a replica behind.
        case forgetWrites(Int)
        case flushStore
        /// A bit of a stored window flips.
        case damage(user: Int)
        /// The broker moves partitions about: a member is taken for dead.
        case expel(worker: Int)
        case growTopic
        case promote
        /// An operator moves the group's offsets while no worker runs.
        case setOffsets(by: Int)
    }

    enum Step: Int, Sendable, CaseIterable {
        case read, evaluate, prepare, write, commit, abort
    }

    var description: String {
        """
        seed \(seed): \(users) users, \(records) records, \(workers) workers, \(partitions) partitions, \
        \(isExactlyOnce ? "exactly once" : "at least once")
        \(faults.map { "    \($0)" }.joined(separator: "\n"))
        """
    }

    /// A schedule drawn from a seed.
    init(seed: UInt64) {
        self.seed = seed
        var random = RandomStream(seed: seed, name: "schedule")
        users = random.int(2...5)
        records = random.int(16...44)
        workers = random.int(2...3)
        partitions = random.int(1...3)
        isExactlyOnce = !random.chance(1, in: 8)
        faults = []
        // Half of the schedules leave the store's memory alone, so that marks cannot excuse a difference there.
        let losesWindows = random.chance(1, in: 2)
        for _ in 0..<random.int(6...14) {
            let time = random.int(5...320)
            faults.append(
                Fault(time: time, kind: Self.kind(workers: workers, users: users, losesWindows, &random)))
        }
        // Not both: a user who moved and whose only window was forgotten is a new user, for all that can be known.
        if isExactlyOnce, !losesWindows, random.chance(1, in: 4) {
            let time = random.int(40...200)
            // In half of them nothing else moves the partitions afterwards.
            if random.chance(1, in: 2) { faults.removeAll { $0.time > time - 60 } }
            faults.append(Fault(time: time, kind: .growTopic))
        }
        if losesWindows, random.chance(1, in: 6) {
            faults.append(Fault(time: random.int(100...260), kind: .setOffsets(by: random.int(-6...4))))
        }
        faults.sort { $0.time < $1.time }
    }

    private static func kind(
        workers: Int, users: Int, _ losesWindows: Bool, _ random: inout RandomStream
    ) -> Kind {
        let worker = random.int(0...workers - 1)
        let losing = losesWindows ? 6 : 0
        let step = Step.allCases[random.int(0...5)]
        switch random.int(-6...15 + losing) {
        case -6 ... -4:
            return .killAt(
                worker: worker, step: step, isSent: random.chance(1, in: 2), restartAfter: random.int(1...90))
        case -3 ... -1:
            return .pauseAt(
                worker: worker, step: step, isSent: random.chance(1, in: 2), ticks: random.int(60...220))
        case 0, 1: return .kill(worker: worker, restartAfter: random.int(1...90))
        case 2...5: return .pause(worker: worker, ticks: random.int(5...200))
        case 6: return .stop(worker: worker, restartAfter: random.int(1...60))
        case 7...9: return .loseAnswers(worker: worker, ticks: random.int(3...40))
        case 10: return .storeAway(ticks: random.int(3...40))
        case 11: return .brokerAway(ticks: random.int(3...40))
        case 12...14: return .expel(worker: worker)
        case 15: return .promote
        case 16...18: return .forgetWrites(random.int(1...random.int(1...5)))
        case 19: return .flushStore
        default: return .damage(user: random.int(0...users - 1))
        }
    }
}

/// Random numbers of one part of the simulation: what another part draws does not change them, so that taking a fault
/// away leaves the rest of a schedule as it was.
struct RandomStream: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64, name: String) {
        state = seed
        for byte in name.utf8 { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
        _ = next()
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func int(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.count))
    }

    mutating func chance(_ part: Int, in whole: Int) -> Bool { Int(next() % UInt64(whole)) < part }
}
