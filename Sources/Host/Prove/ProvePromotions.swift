import Foundation
import Models
import ObjectStore
import Synchronization

/// Promotions during a proof: the global model, and those of many users at once, to and fro between two versions.
/// Used from one thread.
final class ProvePromotions {
    /// One promotion; times in milliseconds since 1970.
    struct Done {
        let begin: Int64
        let answer: Int64
        let versions: [Tenant: Int]
    }

    /// After the answer each worker has this long until its batches use the new version.
    static let graceMilliseconds: Int64 = 1_000
    /// Users that are promoted together, at most.
    private static let maximumUsers = 500

    private let parts: Parts
    /// Two versions of the global model.
    private let global: [Int]
    /// Two versions of each user's.
    private let users: [[Tenant: Int]]
    private(set) var done: [Done] = []
    private var turn: [Disturbance: Int] = [:]

    /// - Parameter outcomes: What `train --json` printed: of the global model twice, of all users twice.
    init(_ scene: ProveScene, outcomes: [TrainedModels]) throws {
        // Thousands of promotions are no news here.
        parts = try Parts(try scene.settings.changing(["log.level": "error"]))
        guard try parts.promotion.start(logger: parts.logger) else {
            throw ProveFailure("the models at \(scene.settings.text("store.uri")) cannot be reached")
        }
        let versions = outcomes.map(\.versions)
        global = versions.prefix(2).compactMap { $0[.global] }
        let both = Set(versions[2].keys).intersection(versions[3].keys)
            .sorted { $0.description < $1.description }.prefix(Self.maximumUsers)
        users = versions[2...3].map { all in all.filter { both.contains($0.key) } }
        guard global.count == 2, !both.isEmpty else {
            throw ProveFailure("there are no two versions of the models to promote")
        }
    }

    var userCount: Int { users[0].count }

    /// Promotes, and waits until every worker says that it scores by the new version.
    ///
    /// - Parameter meanwhile: Done while the promotion is under way, which may fail then: it is asked for until it is answered.
    /// - Returns: For each worker, how long after the answer that was.
    func promote(
        _ disturbance: Disturbance, workers: ProveWorkers, meanwhile: (() throws -> Void)? = nil
    ) throws -> String {
        let turn = self.turn[disturbance, default: 1]
        self.turn[disturbance] = 1 - turn
        let versions = disturbance == .globalPromoted ? [.global: global[turn]] : users[turn]
        let begin = Self.now
        var failures = 0
        if let meanwhile {
            failures = try ask(versions, meanwhile)
        } else {
            try Self.promote(versions, parts.promotion)
        }
        let answered = ContinuousClock.now
        done.append(Done(begin: begin, answer: Self.now, versions: versions))
        // Of a user without a model of their own the worker names the global one.
        guard let (tenant, version) = versions.max(by: { $0.key.description < $1.key.description }) else {
            return ""
        }
        var waiting = Set(workers.numbers)
        var times: [String] = []
        try proveWait("every worker scores by what was promoted", seconds: 30, check: workers.check) {
            for number in waiting.sorted()
            where workers.version(of: tenant.userID ?? "nobody", in: number) == "\(tenant) v\(version)" {
                waiting.remove(number)
                let taken = (ContinuousClock.now - answered) / .milliseconds(1)
                times.append("\(ProveWorkers.name(number)) \(Int(taken)) ms")
            }
            return waiting.isEmpty
        }
        let what = disturbance == .globalPromoted ? "global v\(version)" : "\(versions.count) users"
        let again = failures > 0 ? ", asked for \(failures + 1) times" : ""
        return
            "\(what)\(again), answered after \(done[done.count - 1].answer - begin) ms; \(times.joined(separator: ", "))"
    }

    private static func promote(_ versions: [Tenant: Int], _ promotion: Promotion) throws {
        try promotion.promote(versions, by: "prove", reason: "a proof")
    }

    /// The result of what another thread does.
    private final class Answer: Sendable {
        let result = Mutex<Result<Void, any Error>?>(nil)
    }

    /// - Returns: How often it was asked for in vain.
    private func ask(_ versions: [Tenant: Int], _ meanwhile: () throws -> Void) throws -> Int {
        let (answer, promotion) = (Answer(), parts.promotion)
        Thread.detachNewThread {
            let result = Result { try Self.promote(versions, promotion) }
            answer.result.withLock { $0 = result }
        }
        try meanwhile()
        try proveWait("a promotion is answered", seconds: 120) { answer.result.withLock { $0 != nil } }
        var last = answer.result.withLock { $0 } ?? .success(())
        var failures = 0
        let deadline = ContinuousClock.now + .seconds(60)
        while case .failure(let error) = last {
            guard (error as? ObjectStoreError)?.isRetryable == true, .now < deadline else { throw error }
            failures += 1
            last = Result { try Self.promote(versions, promotion) }
        }
        return failures
    }

    private static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    /// Verdicts by an older version than they must be: of records that were produced more than a second after the
    /// answer to a promotion, and judged before the next one began. No batch with such a record can have begun earlier.
    func violations(
        _ verdicts: [(verdict: ProveVerdict, producedMilliseconds: Int64)], records: [ProvePlace: Int64]
    )
        -> [String]
    {
        var byTenant: [Tenant: [(done: Done, version: Int)]] = [:]
        for done in done {
            for (tenant, version) in done.versions { byTenant[tenant, default: []].append((done, version)) }
        }
        return verdicts.compactMap { verdict, produced in
            guard let place = verdict.place, let record = records[place] else { return nil }
            let user = Tenant.user(verdict.userID)
            let tenant = byTenant[user] == nil && verdict.fallback != nil ? Tenant.global : user
            guard let history = byTenant[tenant],
                let index = history.lastIndex(where: { $0.done.answer + Self.graceMilliseconds < record }),
                index + 1 == history.count || produced < history[index + 1].done.begin
            else { return nil }
            let expected = history[index].version
            let isRight =
                verdict.version == expected && (verdict.fallback == nil) == (tenant != .global)
            guard !isRight else { return nil }
            let late = record - history[index].done.answer
            return
                "transaction \(verdict.transactionID), produced \(late) ms after v\(expected) of \(tenant) was promoted, was judged by v\(verdict.version)\(verdict.fallback.map { " (\($0))" } ?? "")"
        }
    }

    /// How many of the promoted tenants' verdicts each version gave: all that is needed to see that versions switched.
    func switched(_ verdicts: [ProveVerdict]) -> Bool {
        let versions = Set(verdicts.filter { $0.fallback != nil }.map(\.version))
        return done.count { $0.versions[.global] != nil } == 0 || versions.count == 2
    }
}

/// What `train --json` said of the models that it made.
struct TrainedModels {
    let versions: [Tenant: Int]

    /// - Parameter log: Lines of progress, and the JSON behind them.
    init(log: String) throws {
        struct Outcome: Decodable {
            struct Model: Decodable {
                let tenant: String
                let version: Int
            }
            let models: [Model]
        }
        let text = try String(contentsOfFile: log, encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let begin = lines.firstIndex(of: "{"), let end = lines.lastIndex(of: "}"), begin < end else {
            throw ProveFailure("no outcome of training in \(log)")
        }
        let json = lines[begin...end].joined(separator: "\n")
        let outcome = try JSONDecoder().decode(Outcome.self, from: Data(json.utf8))
        versions = Dictionary(
            outcome.models.map { ($0.tenant == "global" ? .global : .user($0.tenant), $0.version) },
            uniquingKeysWith: max)
    }
}
