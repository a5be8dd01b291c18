import ArgumentParser
import Foundation
import Models

extension Models {
    struct Resign: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the newest key sign what older ones have signed: models, packs and rules.",
            discussion: """
                Set models.hmackey to the new key and models.oldhmackeys to the old ones on every process, run this, and
                take the old keys out. A model keeps its bytes, and so the SHA-256 that verdicts name: its new signature
                lies beside it, in models/signatures/.

                EXAMPLE
                  ml-service models resign --store s3://bucket
                """)

        @OptionGroup var common: CommonOptions

        @Option(help: "Where the models are (store.uri).")
        var store: String?

        @Flag(help: "As JSON.")
        var json = false

        func run() async throws {
            let settings = try await common.settings(["store.uri": store])
            guard settings.optionalText("models.hmackey") != nil else {
                throw UsageError("there is no key to sign with: set models.hmackey")
            }
            let (models, rules) = try await blocking {
                (
                    try ModelResigning(store: Parts(settings).models).run(),
                    try Parts.ruleStore(settings).resign()
                )
            }
            let refused = models.refused + rules.refused.map { "rules/v\($0).rules: no key has signed it" }
            if json {
                struct Report: Encodable {
                    let signed: Int
                    let current: Int
                    let rules: Int
                    let refused: [String]
                }
                try printJSON(
                    Report(
                        signed: models.signed, current: models.current, rules: rules.signed, refused: refused)
                )
            } else {
                print(
                    "\(models.signed) models and \(rules.signed) versions of the rules are signed anew; "
                        + "\(models.current) models were signed by this key already")
                for line in refused { print("refused  \(line)") }
            }
            if !refused.isEmpty { throw ExitCode(ExitStatus.data.rawValue) }
        }
    }
}
