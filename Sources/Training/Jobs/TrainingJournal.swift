import Models
import Synchronization

/// What a job has finished, so that it is not done again after a crash. Thread-safe.
public protocol TrainingJournal: Sendable {
    /// Whether an earlier attempt may have left something behind.
    var isResumed: Bool { get }
    /// Parts of a job for all users that are finished.
    func finishedParts() throws -> [Int: UsersPart]
    func finish(_ part: Int, _ result: UsersPart) throws
    /// By whom the parts are handed out that several workers share; nil: all are this one's.
    var sharing: (any PartSharing)? { get }
    /// Called before something is written that others see: a worker that was taken for dead must not.
    ///
    /// - Throws: `TrainingError.cancelled` when the job is another's; what the store of jobs throws.
    func confirm() throws
}

extension TrainingJournal {
    public var sharing: (any PartSharing)? { nil }
    public func confirm() throws {}
}

/// Hands out the parts of a job for all users.
public protocol PartSharing: Sendable {
    /// - Parameter basis: What the parts are made of. The job's holder says it; others may take part if theirs is the same.
    /// - Returns: Whether this worker takes part.
    func join(basis: String) throws -> Bool

    /// - Returns: nil: this worker takes part no longer.
    func take(_ count: Int) throws -> PartsTurn?
}

/// What one part of the users gave.
public struct UsersPart: Codable, Sendable, Hashable {
    public struct Model: Codable, Sendable, Hashable {
        public let userID: String
        public let version: Int
        public let isEarned: Bool
        /// In which pack it lies; nil: it is an object of its own, as of jobs that were begun before there were packs.
        public let place: PackPlace?
        /// The user's active version, and why it is to serve no longer; nil: it may, or there is none.
        public let retired: Retired?

        init(
            userID: String, version: Int, isEarned: Bool, place: PackPlace? = nil, retired: Retired? = nil
        ) {
            self.userID = userID
            self.version = version
            self.isEarned = isEarned
            self.place = place
            self.retired = retired
        }
    }

    /// A version that no longer pays.
    public struct Retired: Codable, Sendable, Hashable {
        public let version: Int
        /// A sentence, for the history of the user's models.
        public let reason: String
    }

    /// Users with rows in range.
    public var users = 0
    public var models: [Model] = []
    /// How the models rank the users' holdouts together; of jobs that were begun before there was one, nothing.
    var ranking = UsersRanking()
    /// Which users are in which part: 2, by the catalogue's shards; before, by another hash.
    var division = Self.currentDivision

    static let currentDivision = 2
    /// More than any part has: sums of 256 of them fit.
    private static let maximumUsers = 1 << 40

    public init() {}

    private enum CodingKeys: String, CodingKey { case users, models, ranking, division }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        users = try container.decode(Int.self, forKey: .users)
        guard (0...Self.maximumUsers).contains(users) else {
            throw DecodingError.dataCorruptedError(
                forKey: .users, in: container, debugDescription: "there are no \(users) users")
        }
        models = try container.decode([Model].self, forKey: .models)
        ranking = try container.decodeIfPresent(UsersRanking.self, forKey: .ranking) ?? UsersRanking()
        division = try container.decodeIfPresent(Int.self, forKey: .division) ?? 1
    }
}

/// For one process and one attempt.
public final class MemoryJournal: TrainingJournal {
    private let parts = Mutex<[Int: UsersPart]>([:])

    public init() {}

    public var isResumed: Bool { false }
    public func finishedParts() -> [Int: UsersPart] { parts.withLock { $0 } }
    public func finish(_ part: Int, _ result: UsersPart) { parts.withLock { $0[part] = result } }
}
