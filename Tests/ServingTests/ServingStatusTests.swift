import Testing

@testable import Serving

@Suite struct ServingStatusTests {
    @Test func workersThatShareAStatusAreReadyTogether() {
        let status = ServingStatus()
        #expect(status.phase == .starting)
        let (first, second) = (status.join(), status.join())
        #expect(status.phase == .starting)
        status.enter(.running, of: first)
        #expect(status.phase == .running)

        status.enter(.waiting("Redis is away"), of: second)
        #expect(status.phase == .waiting("Redis is away"))
        // That the other one goes on does not hide it.
        status.enter(.running, of: first)
        #expect(status.phase == .waiting("Redis is away"))
        #expect(status.totals.interruptions == 1)
        status.enter(.running, of: second)
        #expect(status.phase == .running)

        status.setStreamTrouble("no broker answers", of: second)
        #expect(status.phase == .waiting("no broker answers"))
        status.setStreamTrouble(nil, of: second)

        status.enter(.finished, of: first)
        #expect(status.phase == .running)
        status.enter(.finished, of: second)
        #expect(status.phase == .finished)
    }

    @Test func thatRecordsAreWronglyKeyedIsSaidOnce() {
        let status = ServingStatus()
        #expect(status.saysWronglyKeyed())
        #expect(!status.saysWronglyKeyed())
    }
}
