import ArgumentParser
import DetectorAPI
import Foundation
import Interchange
import Models

extension Models {
    enum ExportFormat: String, ExpressibleByArgument, CaseIterable {
        case onnx, artifact
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a version as a file: as it is stored, or an isolation forest as ONNX.",
            discussion: """
                onnx, for other tools: the graph takes the features before preprocessing and gives `score` and
                `is_anomaly`; docs/interchange.md says more. artifact, for another store: any version, the bytes that
                verdicts name by their SHA-256, which `models import` takes.

                EXAMPLE
                  ml-service models export v2 --format onnx --output model.onnx
                  ml-service models export v2 --format artifact --output model-v2.artifact
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
            let (format, path) = (format, output ?? "model-v\(version).\(format.rawValue)")
            let size = try await blocking {
                let parts = try Parts(settings)
                guard let file = try parts.models.bytes(of: tenant, version: version) else {
                    throw ModelLoadError.notFound(tenant: tenant.description, version: version)
                }
                let ready = try ReadyModel(file, of: parts.models, registry: parts.registry)
                let bytes =
                    switch format {
                    case .onnx: try exportONNX(ready, producerVersion: Version.current)
                    case .artifact: withExtendedLifetime(file) { [UInt8](file.bytes) }
                    }
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
            abstract:
                "Take in a version that models export wrote, or a scikit-learn forest that skl2onnx converted.",
            discussion: """
                An artifact (models export --format artifact) keeps its bytes, its number and whose it is. Where
                models.hmackey is set, it or one of models.oldhmackeys has to be the key that signed it.

                Of an ONNX file a new version is made. Its features are those of docs/features.md that the forest was
                fitted on, in the order of its columns, as they are: what scaled them must be folded into the forest.
                Other graphs are refused, and the node that does not fit is named.

                EXAMPLE
                  ml-service models import model-v2.artifact --store other/store
                  ml-service models import forest.onnx --features amount,count_24h,seconds_since_last --promote
                """)

        @Argument(help: "The artifact or the ONNX file.")
        var file: String

        @Option(help: "The features that the columns of an ONNX file's graph are, separated by commas.")
        var features: String?

        @Flag(help: "Make it the active version.")
        var promote = false

        @OptionGroup var options: Options

        func run() async throws {
            let settings = try await options.settings()
            let (imported, promote) = (
                ImportedFile(path: file, features: features, user: options.user), promote
            )
            let header = try await blocking {
                let parts = try Parts(settings)
                let stored = try imported.store(parts)
                if promote {
                    try parts.promotion.promote(
                        [stored.tenant: stored.version], by: NSUserName(),
                        reason: "imported from \(imported.name)")
                }
                return stored
            }
            print("\(header.tenant) v\(header.version)\(promote ? ", active" : ", a candidate")")
            let parameters = header.parameters.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            print("  \((parameters + ["threshold \(header.threshold)"]).joined(separator: ", "))")
        }
    }
}

/// A file that a version comes from.
private struct ImportedFile: Sendable {
    let path: String
    /// As they were given.
    let features: String?
    /// nil: nobody was named.
    let user: String?

    var name: String { URL(filePath: path).lastPathComponent }

    /// - Returns: The header of the version.
    func store(_ parts: Parts) throws -> ArtifactHeader {
        let bytes = [UInt8](try InputFile.read(path, limit: Artifact.maximumSize + 1))
        return Artifact.isBegun(by: bytes) ? try adopt(bytes, parts) : try convert(bytes, parts)
    }

    private func adopt(_ bytes: [UInt8], _ parts: Parts) throws -> ArtifactHeader {
        guard features == nil else {
            throw UsageError("\(path) is an artifact, which knows its features: leave --features out")
        }
        let artifact = ArtifactBytes(copying: bytes)
        // What cannot serve here is not stored here.
        let ready = try ReadyModel(artifact, of: parts.models, registry: parts.registry)
        guard user == nil || user.map(Tenant.user) == ready.tenant else {
            let owner = ready.tenant.userID.map { "the model of the user \($0)" } ?? "a global model"
            throw UsageError("\(path) is \(owner), and stays it: leave --user out")
        }
        let (header, wasHere) = try parts.models.adopt(artifact)
        if wasHere {
            FileHandle.standardError.write(Data("it was here already, with the same bytes\n".utf8))
        }
        return header
    }

    private func convert(_ bytes: [UInt8], _ parts: Parts) throws -> ArtifactHeader {
        guard let features else {
            throw UsageError("--features says which features the columns of \(path) are")
        }
        let tenant = user.map(Tenant.user) ?? .global
        let onnx = ONNXImport(
            file: name, bytes: bytes,
            features: features.split(separator: ",", omittingEmptySubsequences: false)
                .map { $0.trimmingCharacters(in: .whitespaces) },
            userID: user)
        let (header, payload) = try onnx.artifact(
            registry: parts.registry, parent: try parts.catalogue.active(tenant),
            now: Int64(Date().timeIntervalSince1970 * 1_000))
        return try parts.models.publish(header, payload: payload)
    }
}
