import Features
import Foundation
import Lake
import Models
import Outcomes
import Testing
import Transactions

@testable import Training

/// Own models that no longer pay are taken out of serving by the next training, which says so.
@Suite struct RetiringTests {
    /// Ten users with usual amounts of 20 and frauds of 5,000. Of user 0 both are the other way round until a day, and as
    /// everybody's from then on.
    private func workshop(ordinaryFrom change: Int, days: Int) throws -> Workshop {
        let workshop = try Workshop()
        var random = TestRandom(seed: 9)
        for index in 0..<days {
            let day = Workshop.start.adding(days: index)
            var transactions: [LabelledTransaction] = []
            for user in 0..<10 {
                for number in 0..<5 {
                    let isFraud = number == 0 && index % 7 == 3
                    let isDear = (user == 0 && index < change) != isFraud
                    transactions.append(
                        LabelledTransaction(
                            transaction: Transaction(
                                transactionID: "t\(index)-\(user)-\(number)", userID: "u\(user)",
                                amount: (isDear ? 5_000 : 20) * (0.9 + 0.2 * random.unit()),
                                timestampMilliseconds: day.startMilliseconds + Int64(number) * 10_000_000
                                    + Int64(user)),
                            fraud: isFraud ? .amountBurst : nil))
                }
            }
            try workshop.put(transactions, day, name: "part-0")
        }
        _ = try workshop.run(request(0..<40, allUsers: false), jobID: "global")
        _ = try workshop.run(request(0..<40), jobID: "users")
        return workshop
    }

    private func request(
        _ days: Range<Int>, user: String? = nil, allUsers: Bool = true, promote: Bool = true
    ) -> TrainingRequest {
        TrainingRequest(
            userID: user, allUsers: allUsers && user == nil,
            from: Workshop.start.adding(days: days.lowerBound),
            to: Workshop.start.adding(days: days.upperBound - 1), detectorID: "amount", promote: promote)
    }

    private let user = Tenant.user("u0")

    @Test(arguments: [true, false]) func whatLosesOnLaterDaysIsRetiredAndSaid(isOfAll: Bool) throws {
        let workshop = try workshop(ordinaryFrom: 40, days: 80)
        #expect(try workshop.catalogue.active(user) == 1)
        let outcome = try workshop.run(
            request(40..<80, user: isOfAll ? nil : "u0"), jobID: "later")
        #expect(try workshop.catalogue.active(user) == nil)
        #expect(workshop.router.snapshot().version(of: user) == nil)
        if isOfAll {
            #expect(outcome.metrics["users_retired"] == 1)
            #expect(outcome.metrics["users_promoted"] == 0)
        }
        let change = try #require(try workshop.catalogue.changes(of: user).last)
        #expect(change.from == 1 && change.to == nil && change.by == "training")
        #expect(change.reason.hasPrefix("job later: average precision 0."), "\(change.reason)")
        let note = try #require(outcome.notes?.last)
        #expect(
            note.hasPrefix(
                "users' own models that no longer pay were retired: u0 (v1: average precision 0."), "\(note)")
        // The new one's header keeps the figures, and the old one can be promoted again.
        let header = try #require(try workshop.models.header(of: user, version: 2))
        let own = try #require(header.metrics["active_own_average_precision"])
        let global = try #require(header.metrics["active_global_average_precision"])
        #expect(own < global)
        #expect(header.parent == 1)
        try workshop.promotion.promote([user: 1], by: "somebody", reason: "try again")
        #expect(try workshop.catalogue.active(user) == 1)
    }

    @Test func aJobThatPromotesNothingRetiresNothingAndSaysSo() throws {
        let workshop = try workshop(ordinaryFrom: 40, days: 80)
        let outcome = try workshop.run(request(40..<80, promote: false), jobID: "later")
        #expect(outcome.metrics["users_retired"] == 0)
        #expect(outcome.notes?.last?.contains("should be retired") == true)
        #expect(try workshop.catalogue.active(user) == 1)
    }

    @Test func whatPaysStays() throws {
        let workshop = try workshop(ordinaryFrom: 100, days: 80)
        // The same days again: the new model is as good, and takes its place.
        let outcome = try workshop.run(request(40..<80), jobID: "later")
        #expect(outcome.metrics["users_retired"] == 0)
        #expect(outcome.notes == nil)
        #expect(try workshop.catalogue.active(user) == 2)
        // Nobody is retired for days of which the job has too few of the user.
        let few = try workshop.run(request(78..<80), jobID: "few")
        #expect(few.metrics["users_retired"] == 0)
        #expect(try workshop.catalogue.active(user) == 2)
    }

    @Test func aVersionThatIsNotActiveAnyMoreIsLeftAlone() throws {
        let workshop = try workshop(ordinaryFrom: 100, days: 80)
        _ = try workshop.run(request(40..<80), jobID: "later")
        #expect(try workshop.promotion.retire([user: 1], by: "t", reasons: [:]).isEmpty)
        #expect(try workshop.catalogue.active(user) == 2)
        #expect(try workshop.promotion.retire([user: 2], by: "t", reasons: [user: "r"]).count == 1)
        #expect(try workshop.catalogue.active(user) == nil)
        #expect(try workshop.promotion.retire([user: 2], by: "t", reasons: [:]).isEmpty)
    }

    /// Parts that were finished before there was anything to retire go on.
    @Test func aPartOfBeforeIsRead() throws {
        let json = #"{"users":1,"models":[{"userID":"a","version":3,"isEarned":true}],"division":2}"#
        let part = try JSONDecoder().decode(UsersPart.self, from: Data(json.utf8))
        #expect(part.models == [UsersPart.Model(userID: "a", version: 3, isEarned: true)])
        #expect(part.models[0].retired == nil)
    }
}
