import Features
import Foundation
import Testing
import Transactions

@Suite struct FeatureSchemaTests {
    @Test func namesOfEachVersion() {
        #expect(FeatureSchema.version == 4 && FeatureSchema.versions == 1...4)
        let names =
            "amount log_amount hour_sin hour_cos weekday_sin weekday_cos seconds_since_last "
            + "count_1h sum_1h mean_1h count_24h sum_24h mean_24h count_7d sum_7d mean_7d count_30d sum_30d mean_30d "
            + "amount_zscore_30d amount_ratio_30d new_merchant new_country new_device speed_kmh"
        let added =
            " merchant_risk_2d merchant_risk_7d merchant_risk_30d "
            + "merchant_frauds_2d merchant_frauds_7d merchant_frauds_30d merchant_count_2d merchant_count_7d "
            + "merchant_count_30d merchant_amount_zscore merchant_fraud_amount "
            + "device_risk_2d device_risk_7d device_risk_30d device_count_30d country_risk_2d country_risk_7d "
            + "country_risk_30d country_count_30d category_risk_2d category_risk_7d category_risk_30d "
            + "category_count_30d user_frauds_2d user_frauds_7d user_frauds_30d"
        let compared =
            " since_last_ratio_30d sum_1h_ratio_30d mean_1h_ratio_30d sum_24h_ratio_30d mean_24h_ratio_30d"
        let first = FeatureSchema.numericCount(version: 1)
        let second = FeatureSchema.numericCount(version: 2)
        #expect(FeatureSchema.numeric.prefix(first).map(\.name).joined(separator: " ") == names)
        #expect(FeatureSchema.numeric.prefix(second).map(\.name).joined(separator: " ") == names + added)
        let third = FeatureSchema.numericCount(version: 3)
        #expect(
            FeatureSchema.numeric.prefix(third).map(\.name).joined(separator: " ") == names + added + compared
        )
        #expect(FeatureSchema.numeric.suffix(from: third).map(\.name) == ["merchant_fraud_days"])
        #expect(UserWindow.referencePlaces == Array(first..<second) + [third])
        for (comparison, whole) in FeatureSchema.compared {
            #expect(FeatureSchema.index(of: comparison).map { $0 >= second } == true)
            #expect(FeatureSchema.index(of: whole).map { $0 < first } == true)
        }
        #expect(
            FeatureSchema.categorical.map(\.feature.name) == ["category", "country", "channel", "currency"])
        #expect(FeatureSchema.numeric.count == UserWindow.featureCount)
        #expect(FeatureSchema.categorical.map(\.field) == [.category, .country, .channel, .currency])
        for (index, feature) in FeatureSchema.all.enumerated() {
            #expect(FeatureSchema.index(of: feature.name) == index)
            #expect(feature.kind == (index < UserWindow.featureCount ? .numeric : .categorical))
            #expect(!feature.meaning.isEmpty)
        }
        #expect(FeatureSchema.index(of: "colour") == nil)
    }

    /// `docs/features.md` is written anew by `ML_SERVICE_REGENERATE=1 swift test --filter FeatureSchemaTests`.
    @Test func theDocumentationShowsTheSchema() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../docs/features.md").standardizedFileURL
        if FixtureTests.regenerates { try Data(document.utf8).write(to: file) }
        #expect(try String(contentsOf: file, encoding: .utf8) == document)
    }

    private var document: String {
        let table = FeatureSchema.all.map { feature in
            "| `\(feature.name)` | \(feature.unit) | \(feature.kind.rawValue) | \(feature.meaning.replacing("|", with: "\\|")) |"
        }
        return """
            # Features, schema version \(FeatureSchema.version)

            What a detector sees of a transaction. Serving and training compute it with the same code, from the user's
            window *before* the transaction, and from the reference table of its hour. Version 1 are the numeric ones up to
            `speed_kmh` and the categorical ones, version 2 has those of references, too, up to `user_frauds_30d`, version 3 those up
            to `mean_24h_ratio_30d`; models that were fitted to them are served as ever. Written from the code's own table by `ML_SERVICE_REGENERATE=1 swift test --filter FeatureSchemaTests`; a test fails when the two differ.

            | feature | unit | kind | meaning |
            |---|---|---|---|
            \(table.joined(separator: "\n"))

            ## Windows

            A window is kept as buckets, each with count, sum and sum of squares. The bucket of time t is
            floor(t / width). The window at t is the buckets that end with t's own, so it starts up to one bucket's width
            later than its name says: it holds every transaction of the last (buckets - 1) widths, and none that is
            older than the whole window.

            | window | buckets | width |
            |---|---|---|
            | 1 h | 60 | 1 min |
            | 24 h | 24 | 1 h |
            | 7 d | 28 | 6 h |
            | 30 d | 30 | 1 d |

            A late transaction goes into its own bucket of each window that, counted from the latest transaction, still
            reaches it. One that no window reaches is in none. Buckets after a late transaction's own do not count in its
            features.

            Merchants, countries and devices are remembered by the minute in which they were last seen: the latest 32, 8
            and 16 of the last 30 days; of those of one minute, the larger hashes stay.

            ## References

            What labels say of a merchant, a device, a country, a category and a user, and what a merchant's usual amounts
            are: [outcomes](outcomes.md). They are missing without a table, and are given to detectors that learn from
            labels only. Numbers fade with age: an event of a half-life ago counts one half. A fraud counts from the hour in
            which its label became known, a transaction from `references.lag` days after it happened. A risk is (F + p) /
            (N + 1), F the frauds, N the transactions, p the share of frauds among all.

            A missing value is NaN. No feature is infinite: what is beyond the range of a 32-bit float becomes the largest
            one. Logarithm, sine and cosine are the service's own, so that every machine gives the same bits.

            ## Encoding

            Training fits a preprocessing and keeps it in the model's artifact: the numeric features, scaled or as they
            are, then for each categorical feature a column for each category that at least 1 % of its rows have (at most
            32), and `other` for the rest. A category that is missing is 0 in all of its columns.

            For detectors that say they make use of categories, as the isolation forest does, which splits them by random subsets,
            a categorical feature is one column: the number of its category in the order of their names, `other` the last one, NaN
            for a missing one. `--encoding one-hot` (`"encoding": "one-hot"` in `POST /v1/train`) makes columns of it all the same;
            `native` is refused for other detectors. The artifact says how it was encoded; one that says nothing is one-hot.
            Figures: [performance](performance.md).

            """
    }
}
