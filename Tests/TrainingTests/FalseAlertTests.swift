import Foundation
import Testing

@testable import Training

/// Whether a tenth of the users gets the false alerts of all.
@Suite struct FalseAlertTests {
    /// A hundred users, of whom user n has 20 + n transactions of about n each; `alerts` says how many are false alerts.
    private func shares(_ alerts: (Int) -> Int) -> FalseAlertShares {
        var shares = FalseAlertShares()
        for user in 1...100 {
            shares.add(transactions: 20 + user, meanAmount: Double(user), falseAlerts: alerts(user))
        }
        return shares
    }

    @Test func evenAlertsGiveEveryDecileItsShare() throws {
        let even = shares { ($0 + 20) / 10 }
        for deciles in [try #require(even.activityDeciles), try #require(even.amountDeciles)] {
            #expect(deciles.count > 5)
            #expect(deciles.allSatisfy { (0.8...1.25).contains($0) }, "\(deciles)")
        }
        #expect(even.metrics().count == 2)
    }

    @Test func aTenthThatGetsThemAllShows() throws {
        let skewed = shares { $0 > 90 ? 10 : 0 }
        let deciles = try #require(skewed.amountDeciles)
        #expect(try #require(deciles.last) > FalseAlertShares.limit)
        #expect(deciles.first == 0)
        #expect(try #require(skewed.metrics()["false_alert_share_amount"]) > FalseAlertShares.limit)
    }

    @Test func fewAlertsSayNothing() {
        #expect(shares { $0 == 7 ? 10 : 0 }.amountDeciles == nil)
        #expect(FalseAlertShares().metrics().isEmpty)
    }

    @Test func partsAddUp() throws {
        var one = FalseAlertShares()
        var other = FalseAlertShares()
        for user in 1...100 {
            let alerts = user % 3
            if user % 2 == 0 {
                one.add(transactions: 20 + user, meanAmount: Double(user), falseAlerts: alerts)
            } else {
                other.add(transactions: 20 + user, meanAmount: Double(user), falseAlerts: alerts)
            }
        }
        one.merge(other)
        #expect(one == shares { $0 % 3 })
        #expect(try JSONDecoder().decode(FalseAlertShares.self, from: JSONEncoder().encode(one)) == one)
    }

    @Test func knownFraudsAreNoFalseAlerts() throws {
        let rows = 0..<6_000
        func shares(fraudsOf user: UInt32?) -> FalseAlertShares {
            FalseAlertShares(
                users: rows.map { UInt32($0 % 60) }, amounts: rows.map { Float($0 % 60 + 1) },
                labels: rows.map { UInt32($0 % 60) == user ? 1 : 0 },
                scores: rows.map { $0 % 60 == 59 || $0 % 37 == 0 ? -1 : 0 }, threshold: -0.5)
        }
        let all = try #require(shares(fraudsOf: nil).amountDeciles?.max())
        let without = try #require(shares(fraudsOf: 59).amountDeciles?.max())
        #expect(all > 2 && without < 1.5, "\(all) \(without)")
    }

    /// Jobs that were begun by an earlier version go on.
    @Test func aRankingOfBeforeThereWereSharesIsRead() throws {
        let json =
            #"{"known":{"global":{"frauds":{},"others":{}},"own":{"frauds":{},"others":{}},"earned":{"frauds":{},"others":{}}},"injected":{"global":{"frauds":{},"others":{}},"own":{"frauds":{},"others":{}},"earned":{"frauds":{},"others":{}}}}"#
        #expect(try JSONDecoder().decode(UsersRanking.self, from: Data(json.utf8)) == UsersRanking())
    }

    /// A part that was finished by an earlier version counts with those of this one.
    @Test func aRankingIsWrittenAsItAlwaysWas() throws {
        let counts =
            #"{"frauds":{"1500":2},"others":{"3":40,"1500":1,"2048":1}}"#
        let ways = #"{"global":\#(counts),"own":\#(counts),"earned":\#(counts)}"#
        let json = #"{"known":\#(ways),"injected":\#(ways)}"#
        var ranking = try JSONDecoder().decode(UsersRanking.self, from: Data(json.utf8))
        // Above the frauds stands one other; one is as high.
        #expect(ranking.known.global.averagePrecision == 0.5)
        let again = try JSONDecoder().decode(
            UsersRanking.self, from: try JSONEncoder().encode(ranking))
        #expect(again == ranking)
        ranking.merge(again)
        #expect(ranking.known.own.fraudCount == 4)
        #expect(ranking.known.own.averagePrecision == 0.5)
        let beyond = json.replacing("2048", with: "2049")
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(UsersRanking.self, from: Data(beyond.utf8))
        }
    }
}
