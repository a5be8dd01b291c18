import ObjectStore
import Signing

/// Has the newest key seal manifests and history. Calls block.
public struct CatalogueResigning: Sendable {
    public struct Report: Sendable, Hashable {
        public var current = 0
        /// Sealed now.
        public var signed = 0
        /// Of no key, or damaged: where, and why. They stay as they are, and do not serve.
        public var refused: [String] = []

        public init() {}
    }

    private let catalogue: Catalogue
    private let keys: SigningKeys
    private let signsUnsigned: Bool
    private let isRestored: Bool

    /// - Parameters:
    ///   - signsUnsigned: What no key has signed is believed, once, and sealed.
    ///   - isRestored: The store was restored from a copy: every manifest is given a new generation, so that it is not taken
    ///     for an older one that somebody has put back.
    public init(
        objects: any ObjectStore, keys: SigningKeys, signsUnsigned: Bool = false, isRestored: Bool = false
    ) {
        catalogue = Catalogue(objects: objects, sealing: Sealing(keys: keys, seen: nil))
        self.keys = keys
        self.signsUnsigned = signsUnsigned
        self.isRestored = isRestored
    }

    public func run() throws -> Report {
        var report = Report()
        for summary in try catalogue.objects.listAll(prefix: Tenant.manifestPrefix) {
            try sign(summary.key, isManifest: true, &report)
        }
        for summary in try catalogue.objects.listAll(prefix: Tenant.historyRoot) {
            try sign(summary.key, isManifest: false, &report)
        }
        return report
    }

    private func sign(_ key: String, isManifest: Bool, _ report: inout Report) throws {
        while let object = try catalogue.bounded(key) {
            var content = object.bytes
            var seal: Sealing.Seal?
            do throws(SealError) {
                seal = try catalogue.sealing.seal(of: object.bytes, name: key)
            } catch {
                guard error == .unsigned, signsUnsigned else {
                    report.refused.append("\(key): \(error)")
                    return
                }
            }
            if seal?.isCurrent == true, !(isRestored && isManifest) {
                report.current += 1
                return
            }
            content = Sealing.content(of: object.bytes)
            let generation = isManifest ? Sealing.generation(after: seal?.generation) : 0
            let bytes = catalogue.sealing.sealed(content, name: key, generation: generation)
            // Otherwise somebody has written it meanwhile.
            if try catalogue.objects.putIfUnchanged(key, bytes, .unchanged(object.tag)) {
                report.signed += 1
                return
            }
        }
    }
}
