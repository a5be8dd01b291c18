import Synchronization

/// What a job has finished, so that it is not done again after a crash. Thread-safe.
public protocol TrainingJournal: Sendable {
    /// Whether an earlier attempt may have left something behind.
    var isResumed: Bool { get }
    /// Parts of a job for all users that are finished.
    func finishedParts() throws -> [Int: UsersPart]
    func finish(_ part: Int, _ result: UsersPart) throws
}

/// What one part of the users gave.
public struct UsersPart: Codable, Sendable, Hashable {
    public struct Model: Codable, Sendable, Hashable {
        public let userID: String
        public let version: Int
        public let isEarned: Bool
    }

    /// Users with rows in range.
    public var users = 0
    public var models: [Model] = []
    /// How the models rank the users' holdouts together; of jobs that were begun before there was one, nothing.
    var ranking = UsersRanking()

    public init() {}

    private enum CodingKeys: String, CodingKey { case users, models, ranking }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        users = try container.decode(Int.self, forKey: .users)
        models = try container.decode([Model].self, forKey: .models)
        ranking = try container.decodeIfPresent(UsersRanking.self, forKey: .ranking) ?? UsersRanking()
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
