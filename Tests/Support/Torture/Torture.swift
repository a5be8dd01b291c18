import DetectorAPI
import Foundation
import Glibc

/// Runs damaged input through something, again and again, and writes down what came of it.
///
/// In a test run it goes through a few seeds that are always the same. `scripts/torture` gives it time
/// (`TORTURE_SECONDS`), another seed (`TORTURE_SEED`) and a file for the figures (`TORTURE_REPORT`); the seed of the round
/// under way stands in that file's neighbour, so that a crash names the input that it died of.
///
///     try Torture("manifests").run(rounds: 200) { random in
///         try catalogue.read(Mutation.apply(to: sound, &random)) ? .accepted : .refused
///     }
public struct Torture {
    public enum Outcome: Sendable { case accepted, refused }

    /// Something that must not be: an input taken that is not what it says, say.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
        public init(_ description: String) { self.description = description }
    }

    private let subject: String
    private let environment = ProcessInfo.processInfo.environment

    public init(_ subject: String) { self.subject = subject }

    /// - Parameters:
    ///   - rounds: In a test run.
    ///   - round: Given the round's own source of randomness.
    /// - Throws: `Failure` with the seed of the round that threw, or took longer than ten seconds.
    public func run(rounds: Int, _ round: (inout SeededGenerator) throws -> Outcome) throws {
        let seconds = environment["TORTURE_SECONDS"].flatMap { Double($0) }
        let firstSeed = environment["TORTURE_SEED"].flatMap { UInt64($0) } ?? 1
        let start = ContinuousClock.now
        var counts = (tried: 0, accepted: 0, refused: 0, slowest: Duration.zero)
        defer { report(counts) }
        while seconds.map({ ContinuousClock.now - start < .seconds($0) }) ?? (counts.tried < rounds) {
            let seed = firstSeed &+ UInt64(truncatingIfNeeded: counts.tried)
            note(seed)
            var generator = SeededGenerator(seed: seed)
            let began = ContinuousClock.now
            counts.tried += 1
            do {
                switch try round(&generator) {
                case .accepted: counts.accepted += 1
                case .refused: counts.refused += 1
                }
            } catch {
                throw Failure("\(subject), TORTURE_SEED=\(seed): \(error)")
            }
            counts.slowest = max(counts.slowest, ContinuousClock.now - began)
            if counts.slowest > .seconds(10), seconds != nil {
                throw Failure("\(subject), TORTURE_SEED=\(seed): took \(counts.slowest)")
            }
        }
    }

    private func note(_ seed: UInt64) {
        guard let path = environment["TORTURE_REPORT"] else { return }
        try? Data("\(subject)\t\(seed)\n".utf8).write(to: URL(filePath: path + ".running"))
    }

    private func report(_ counts: (tried: Int, accepted: Int, refused: Int, slowest: Duration)) {
        guard let path = environment["TORTURE_REPORT"],
            let file = fopen(path, "a")
        else { return }
        let milliseconds = Int(counts.slowest / .milliseconds(1))
        fputs(
            "\(subject)\t\(counts.tried)\t\(counts.accepted)\t\(counts.refused)\t\(milliseconds)\n", file)
        fclose(file)
        unlink(path + ".running")
    }
}
