/// Why transactions of users without a model of their own cannot be scored.
public enum GlobalModelTrouble: Sendable, Hashable, CustomStringConvertible {
    case noneActive
    /// The active version cannot be loaded, or has failed, and none served before it.
    case outOfService(version: Int, reason: String)
    /// The object that says which version is active cannot be read, and this machine knew none.
    case catalogueDamaged(CatalogueError)

    public var description: String {
        switch self {
        case .noneActive:
            "there is no active global model: train one (ml-service train --promote, or POST /v1/train) and promote it"
        case .outOfService(let version, let reason):
            "v\(version) of the global model is active and out of service: \(reason); put it right, or promote another version"
        case .catalogueDamaged(let error):
            "which global model is active is not known: \(error); put that object's last version back"
        }
    }
}

extension ModelRouter {
    /// nil: they can be scored, or the next batch tries.
    public var globalTrouble: GlobalModelTrouble? {
        let (version, out, damage) = state.withLock { state in
            let version = state.table.global
            let out = version.flatMap { state.quarantine[ModelKey(user: 0, version: $0)] }
            return (version, state.models.lastGlobal == nil ? out : nil, state.globalDamage)
        }
        guard let version else { return damage.map { .catalogueDamaged($0) } ?? .noneActive }
        guard let out, !(out.missingDetector.map(loader.has(detector:)) ?? false) else { return nil }
        return .outOfService(version: version, reason: out.model.reason)
    }

    /// Notes what is wrong with the part of the catalogue that has the global model; nil: nothing.
    func noteGlobalDamage(_ error: CatalogueError?) { state.withLock { $0.globalDamage = error } }
}
