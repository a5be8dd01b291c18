import DetectorAPI

/// What is done to a running service.
enum Disturbance: String, CaseIterable, Sendable {
    case workerKilled = "worker killed, started again"
    case workerPaused = "worker paused past its session"
    case workerEnded = "worker told to end, started again"
    case workerAdded = "worker added"
    case workerRemoved = "worker removed"
    case workerEndedJoining = "worker added, ended while it joined"
    case redisKilled = "Redis killed, started again"
    case redisPaused = "Redis paused"
    case redisFailedOver = "Redis failed over to a replica"
    case storeRestarted = "S3 server killed, started again"
    case storeAwayAtStart = "workers started while the S3 server is away"
    case storeKilledInPromotion = "S3 server killed during a promotion"
    case diskFilled = "disk of a worker full"
    case brokerRestarted = "broker restarted"
    case globalPromoted = "global model promoted"
    case usersPromoted = "users' models promoted"
    case redisFlushed = "Redis flushed"
    case redisSetBack = "Redis set back by 2 s"
    case redisFailedBehind = "Redis failed over to a replica 2 s behind"

    /// The store forgets what it has answered: verdicts may be inexact, and have to be marked then.
    var losesWindows: Bool { [.redisFlushed, .redisSetBack, .redisFailedBehind].contains(self) }

    fileprivate func isPossible(_ options: ProveOptions) -> Bool {
        switch self {
        case .workerKilled, .workerPaused, .workerEnded, .workerAdded, .workerRemoved, .workerEndedJoining:
            true
        case .redisKilled, .redisPaused, .redisFailedOver, .storeRestarted, .storeAwayAtStart,
            .brokerRestarted:
            options.hasOwnServers
        case .storeKilledInPromotion: options.hasOwnServers && options.promotes
        case .diskFilled: options.fillsDisks
        case .globalPromoted, .usersPromoted: options.promotes
        case .redisFlushed, .redisSetBack, .redisFailedBehind: options.hasOwnServers && options.losesWindows
        }
    }
}

/// The order in which a service is disturbed: rounds of everything that is possible, each in an order of its own. The
/// same seed gives the same plan.
struct ProvePlan {
    struct Step: Equatable {
        let disturbance: Disturbance
        /// Chooses a worker.
        let choice: Int
        /// Quiet before it.
        let pauseSeconds: Double
    }

    private var random: SeededGenerator
    private let possible: [Disturbance]
    private var round: [Disturbance] = []
    /// Whether everything has come at least once.
    private(set) var isThrough = false

    init(_ options: ProveOptions) {
        random = SeededGenerator(seed: options.seed, stream: 0x9407E)
        possible = Disturbance.allCases.filter { $0.isPossible(options) }
    }

    mutating func next() -> Step {
        if round.isEmpty { round = possible.shuffled(using: &random) }
        let disturbance = round.removeLast()
        if round.isEmpty { isThrough = true }
        return Step(
            disturbance: disturbance, choice: random.below(1 << 16), pauseSeconds: 0.3 + random.unit())
    }
}
