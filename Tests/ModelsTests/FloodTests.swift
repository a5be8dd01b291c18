import Testing

@testable import Models

/// What is done about a model that raises far more alerts than it may.
@Suite struct FloodTests {
    @Test func itIsReportedUnlessThePolicySaysMore() throws {
        let (world, process) = try flooded()
        let remedy = try process.promotion.answerFlood(
            of: .global, version: 2, fittingThreshold: -0.9, policy: .report,
            changes: world.catalogue.changes(of: .global))
        #expect(remedy == .reported)
        #expect(try world.catalogue.active(.global) == 2)
        #expect(try world.store.versions(of: .global) == [1, 2])
    }

    @Test func rollingBackMakesTheVersionBeforeActive() throws {
        let (world, process) = try flooded()
        func answer(_ version: Int) throws -> FloodRemedy {
            try process.promotion.answerFlood(
                of: .global, version: version, fittingThreshold: nil, policy: .rollback,
                changes: world.catalogue.changes(of: .global))
        }
        #expect(try answer(2) == .rolledBack(to: 1))
        #expect(try world.catalogue.active(.global) == 1)
        #expect(try world.catalogue.changes(of: .global).last?.by == "flood guard")
    }

    /// Otherwise two versions that flood would take turns.
    @Test func whatWasTakenOutForAFloodDoesNotComeBack() throws {
        let (world, process) = try flooded(versions: 3)
        func answer(_ version: Int) throws -> FloodRemedy {
            try process.promotion.answerFlood(
                of: .global, version: version, fittingThreshold: nil, policy: .rollback,
                changes: world.catalogue.changes(of: .global))
        }
        #expect(try answer(3) == .rolledBack(to: 2))
        #expect(try answer(2) == .rolledBack(to: 1))
        #expect(try answer(1) == .reported)
        #expect(try world.catalogue.active(.global) == 1)
        // Whoever promotes one of them again trusts it.
        for version in [2, 3] {
            try process.promotion.promote([.global: version], by: "t", reason: "")
        }
        #expect(try answer(3) == .rolledBack(to: 2))
        #expect(try answer(2) == .rolledBack(to: 1))
    }

    @Test func theFirstVersionHasNothingToGoBackTo() throws {
        let world = try World()
        let process = try world.process()
        try world.publish(.global)
        try process.promotion.promote([.global: 1], by: "t", reason: "")
        let remedy = try process.promotion.answerFlood(
            of: .global, version: 1, fittingThreshold: nil, policy: .rollback,
            changes: world.catalogue.changes(of: .global))
        #expect(remedy == .reported)
        #expect(try world.catalogue.active(.global) == 1)
    }

    @Test func cappingServesTheSameModelWithALowerThresholdThatSaysSo() throws {
        let (world, process) = try flooded()
        let remedy = try process.promotion.answerFlood(
            of: .global, version: 2, fittingThreshold: -0.9, policy: .cap,
            changes: world.catalogue.changes(of: .global))
        #expect(remedy == .capped(version: 3, threshold: -0.9))
        #expect(try world.catalogue.active(.global) == 3)
        let before = try #require(try world.store.header(of: .global, version: 2))
        let after = try #require(try world.store.header(of: .global, version: 3))
        #expect(after.threshold == -0.9)
        #expect(after.uncappedThreshold == before.threshold)
        #expect(after.payloadSHA256 == before.payloadSHA256)
        #expect(after.parent == 2)
        // A threshold that is as low already is no remedy.
        let again = try process.promotion.answerFlood(
            of: .global, version: 3, fittingThreshold: -0.5, policy: .cap,
            changes: world.catalogue.changes(of: .global))
        #expect(again == .reported)
    }

    private func flooded(versions: Int = 2) throws -> (World, World.Process) {
        let world = try World()
        let process = try world.process()
        for _ in 1...versions { try world.publish(.global) }
        for version in 1...versions {
            try process.promotion.promote([.global: version], by: "t", reason: "")
        }
        return (world, process)
    }
}
