import ArgumentParser
import Foundation
import Models

extension Models {
    struct Resign: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Have the newest key sign what older ones have signed: models, packs, rules, what is active, its history, reference tables.",
            discussion: """
                Set models.hmackey to the new key and models.oldhmackeys to the old ones on every process, run this, and
                take the old keys out. A model keeps its bytes, and so the SHA-256 that verdicts name: its new signature
                lies beside it, in models/signatures/.

                What is active, its history and the reference tables that were written before there was a key, or by a version
                that did not sign them, are refused with one: --unsigned believes them once, and signs them. Look at
                `models list`, `models history` and `references list` without the key before. Models of no key stay refused:
                train them again with the key set.

                Each of them has a generation, and a machine refuses one that is older than it has seen. After the store was
                restored from a copy, --restored gives everything a new one.

                EXAMPLE
                  ml-service models resign --store s3://bucket
                """)

        @OptionGroup var common: CommonOptions

        @Option(help: "Where the models are (store.uri).")
        var store: String?

        @Flag(help: "Believe manifests, history and reference tables that no key has signed, and sign them.")
        var unsigned = false

        @Flag(help: "The store was restored from a copy: what it says is the newest.")
        var restored = false

        @Flag(help: "As JSON.")
        var json = false

        func run() async throws {
            let settings = try await common.settings(["store.uri": store])
            guard settings.optionalText("models.hmackey") != nil else {
                throw UsageError("there is no key to sign with: set models.hmackey")
            }
            let (unsigned, restored) = (unsigned, restored)
            let (models, rules, catalogue, tables) = try await blocking {
                let parts = try Parts(settings)
                return (
                    try ModelResigning(store: parts.models).run(),
                    try Parts.ruleStore(settings).resign(),
                    try CatalogueResigning(
                        objects: parts.models.objects, keys: Parts.signingKeys(settings),
                        signsUnsigned: unsigned, isRestored: restored
                    ).run(),
                    try Parts.referenceStore(settings).resign(
                        signsUnsigned: unsigned, isRestored: restored)
                )
            }
            let refused =
                models.refused + rules.refused.map { "rules/v\($0).rules: no key has signed it" }
                + catalogue.refused + tables.refused
            if json {
                struct Report: Encodable {
                    let signed: Int
                    let current: Int
                    let rules: Int
                    let catalogue: Int
                    let tables: Int
                    let refused: [String]
                }
                try printJSON(
                    Report(
                        signed: models.signed, current: models.current, rules: rules.signed,
                        catalogue: catalogue.signed, tables: tables.signed, refused: refused))
            } else {
                print(
                    "\(models.signed) models, \(rules.signed) versions of the rules, \(catalogue.signed) manifests and pieces of "
                        + "history and \(tables.signed) reference tables are signed anew; "
                        + "\(models.current) models were signed by this key already")
                for line in refused { print("refused  \(line)") }
            }
            if !refused.isEmpty { throw ExitCode(ExitStatus.data.rawValue) }
        }
    }
}
