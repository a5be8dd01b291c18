import BatchProtocol
import Foundation
import Testing

/// The simulator notices every deliberate breakage: a run that finds nothing has looked.
@Suite(.serialized) struct BreakageTests {
    private static let most = 4_000

    @Test func everyBreakageIsCaughtAndTheTableOfThemIsCurrent() async throws {
        let found = await withTaskGroup(of: (Breakage, Catch?).self) { group in
            for breakage in Breakage.allCases { group.addTask { (breakage, Self.hunt(breakage)) } }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        for breakage in Breakage.allCases {
            #expect(found[breakage] != nil, "\(breakage) is not noticed in \(Self.most) schedules")
        }
        try DocumentedTable(path: "docs/exactly-once.md", name: "breakages").check(Self.table(found))
    }

    @Test func theTableOfInvariantsIsCurrent() throws {
        let rows = Invariant.allCases.map { "| \($0.rawValue) | \($0.sentence) |" }
        try DocumentedTable(path: "docs/exactly-once.md", name: "invariants").check(
            ["| invariant | what holds |", "|---|---|"] + rows)
    }

    struct Catch: Sendable {
        let invariant: Invariant
        let schedules: Int
    }

    private static func hunt(_ breakage: Breakage) -> Catch? {
        for seed in 1...UInt64(most) {
            if let violation = Simulation(Schedule(seed: seed), breakage: breakage).run().violation {
                return Catch(invariant: violation.invariant, schedules: Int(seed))
            }
        }
        return nil
    }

    private static func table(_ found: [Breakage: Catch]) -> [String] {
        ["| breakage | caught by | after schedules |", "|---|---|---|"]
            + Breakage.allCases.map { breakage in
                guard let found = found[breakage] else { return "| \(breakage.rawValue) | - | - |" }
                return "| \(breakage.rawValue) | \(found.invariant.rawValue) | \(found.schedules) |"
            }
    }
}

/// A table in a document that a test writes: `WRITE_TABLES=1` puts the new one in its place.
struct DocumentedTable {
    private let file: URL
    private let begin: String
    private let end: String

    init(path: String, name: String) {
        file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: path)
        begin = "<!-- \(name): written by scripts/simulate --write-tables -->"
        end = "<!-- end of \(name) -->"
    }

    func check(_ lines: [String]) throws {
        let text = try String(contentsOf: file, encoding: .utf8)
        let start = try #require(text.range(of: begin), "\(file.path) has no \(begin)")
        let stop = try #require(text.range(of: end), "\(file.path) has no \(end)")
        let table = "\n" + lines.joined(separator: "\n") + "\n"
        if Setting.writesTables {
            let changed = text.replacingCharacters(in: start.upperBound..<stop.lowerBound, with: table)
            try changed.write(to: file, atomically: true, encoding: .utf8)
        } else {
            #expect(
                text[start.upperBound..<stop.lowerBound] == table,
                "the table is old: scripts/simulate --write-tables")
        }
    }
}

/// What a person may set from outside.
enum Setting {
    static let schedules = number("SIMULATION_SCHEDULES") ?? 20_000
    static let seed = UInt64(number("SIMULATION_SEED") ?? 1)
    static let threads = max(1, ProcessInfo.processInfo.activeProcessorCount)
    static let writesTables = ProcessInfo.processInfo.environment["WRITE_TABLES"] == "1"

    private static func number(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }
}
