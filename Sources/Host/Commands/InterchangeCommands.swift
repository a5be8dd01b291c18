import ArgumentParser
import Foundation
import Interchange
import Models

extension Models {
    enum ExportFormat: String, ExpressibleByArgument, CaseIterable {
        case onnx
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write an isolation forest as an ONNX file, preprocessing included.",
            discussion: """
                The graph takes the features before preprocessing and gives `score` and `is_anomaly`;
                docs/interchange.md says more.

                EXAMPLE
                  ml-service models export v2 --format onnx --output model.onnx
                """)

        @Argument(help: "3 or v3.")
        var version: String

        @Option(help: "The file's format.")
        var format = ExportFormat.onnx

        @Option(help: "The file to write; model-v3.onnx for version 3 if it is not given.")
        var output: String?

        @OptionGroup var options: Options

        func run() async throws {
            let (settings, tenant) = (try await options.settings(), options.tenant)
            let version = try versionNumber(version)
            let path = output ?? "model-v\(version).\(format.rawValue)"
            let size = try await blocking {
                let parts = try Parts(settings)
                guard let file = try parts.models.bytes(of: tenant, version: version) else {
                    throw ModelLoadError.notFound(tenant: tenant.description, version: version)
                }
                let ready = try ReadyModel(file, of: parts.models, registry: parts.registry)
                let bytes = try exportONNX(ready, producerVersion: Version.current)
                do {
                    try Data(bytes).write(to: URL(filePath: path), options: .atomic)
                } catch {
                    throw UsageError("\(path) cannot be written: \(error.localizedDescription)")
                }
                return bytes.count
            }
            print("\(tenant) v\(version): \(path), \(size) bytes")
        }
    }

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a version of a scikit-learn IsolationForest that skl2onnx converted.",
            discussion: """
                The features are those of docs/features.md that the forest was fitted on, in the order of its columns,
                as they are: what scaled them must be folded into the forest. Other graphs are refused, and the node
                that does not fit is named.

                EXAMPLE
                  ml-service models import forest.onnx --features amount,count_24h,seconds_since_last --promote
                """)

        @Argument(help: "The ONNX file.")
        var file: String

        @Option(help: "The features that the graph's columns are, separated by commas.")
        var features: String

        @Flag(help: "Make it the active version.")
        var promote = false

        @OptionGroup var options: Options

        func run() async throws {
            let (settings, tenant) = (try await options.settings(), options.tenant)
            let names = features.split(separator: ",", omittingEmptySubsequences: false)
                .map { $0.trimmingCharacters(in: .whitespaces) }
            let (path, promote) = (file, promote)
            let header = try await blocking {
                let parts = try Parts(settings)
                let onnx = ONNXImport(
                    file: URL(filePath: path).lastPathComponent,
                    bytes: [UInt8](try InputFile.read(path, limit: ONNXImport.maximumSize + 1)),
                    features: names,
                    userID: tenant.userID)
                let (header, payload) = try onnx.artifact(
                    registry: parts.registry, parent: try parts.catalogue.active(tenant),
                    now: Int64(Date().timeIntervalSince1970 * 1_000))
                let stored = try parts.models.publish(header, payload: payload)
                if promote {
                    try parts.promotion.promote(
                        [tenant: stored.version], by: NSUserName(), reason: "imported from \(onnx.file)")
                }
                return stored
            }
            print("\(tenant) v\(header.version)\(promote ? ", active" : ", a candidate")")
            let parameters = header.parameters.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            print("  \(parameters.joined(separator: ", ")), threshold \(header.threshold)")
        }
    }
}
