import DetectorAPI
import Models
import Outcomes
import Rules

/// Models by the SHA-256 that verdicts name, fetched from the store.
struct RecordedModels {
    let store: ModelStore
    let open: (ArtifactBytes) throws -> ReadyModel
    private var models: [String: ReadyModel] = [:]
    /// Models of users are many; beyond so many all are fetched anew.
    private static let capacity = 2_000

    init(store: ModelStore, open: @escaping (ArtifactBytes) throws -> ReadyModel) {
        self.store = store
        self.open = open
    }

    mutating func model(of verdict: RecordedVerdict) throws -> ReadyModel {
        if let model = models[verdict.sha256] { return model }
        let model = try fetch(verdict)
        if models.count >= Self.capacity { models = [:] }
        models[verdict.sha256] = model
        return model
    }

    /// The version that the verdict names, or else any of the tenant's with its SHA-256.
    private func fetch(_ verdict: RecordedVerdict) throws -> ReadyModel {
        let named = try model(of: verdict.tenant, version: verdict.version)
        if let named, named.sha256 == verdict.sha256 { return named }
        for version in try store.versions(of: verdict.tenant).reversed() where version != verdict.version {
            let other = try model(of: verdict.tenant, version: version)
            if let other, other.sha256 == verdict.sha256 { return other }
        }
        guard let named else {
            throw ModelLoadError.notFound(tenant: verdict.tenant.description, version: verdict.version)
        }
        throw ModelLoadError.notAsPromoted(expected: verdict.sha256, found: named.sha256)
    }

    private func model(of tenant: Tenant, version: Int) throws -> ReadyModel? {
        try store.bytes(of: tenant, version: version).map(open)
    }
}

/// Reference tables that verdicts name, fetched from the store.
struct RecordedReferences {
    let store: ReferenceStore
    let settings: ScoringWorker.Settings
    private var tables: [RecordedVerdict.Reference: ReadyReferences] = [:]
    /// Tables are large, and a stream names them one after the other.
    private static let capacity = 4

    init(store: ReferenceStore, settings: ScoringWorker.Settings) {
        self.store = store
        self.settings = settings
    }

    /// - Throws: `ReferenceError` for a table that is gone; `RecordedVerdictError` where another has taken its version.
    mutating func table(_ named: RecordedVerdict.Reference) throws -> BatchReferences {
        if let ready = tables[named] { return settings.references(ready) }
        let ready = try store.load(named.version)
        guard ready.sha256 == named.sha256 else {
            throw RecordedVerdictError(
                "it names the reference table v\(named.version) with the SHA-256 \(named.sha256); the store's has "
                    + "\(ready.sha256): use the store that the verdict was made with")
        }
        if tables.count >= Self.capacity { tables = [:] }
        tables[named] = ready
        return settings.references(ready)
    }
}

/// Versions of the rules that verdicts name, fetched from the store.
struct RecordedRules {
    let store: RuleStore
    private var sets: [RecordedVerdict.Rules: RuleSet] = [:]
    private static let capacity = 64

    init(store: RuleStore) { self.store = store }

    /// - Throws: `RuleError` for a version that is gone; `RecordedVerdictError` where another has taken its number.
    mutating func set(_ named: RecordedVerdict.Rules) throws -> RuleSet {
        if let set = sets[named] { return set }
        let set = try store.load(named.version)
        guard set.sha256 == named.sha256 else {
            throw RecordedVerdictError(
                "it names the rules v\(named.version) with the SHA-256 \(named.sha256); the store's have "
                    + "\(set.sha256 ?? "none"): use the store that the verdict was made with")
        }
        if sets.count >= Self.capacity { sets = [:] }
        sets[named] = set
        return set
    }
}

/// Verdicts that were made in parts, put into the order of their rows.
struct MergedRecords {
    private struct Entry {
        let row: Int
        let key: [UInt8]
        let payload: [UInt8]
        let place: (slice: Int32, offset: Int64)
    }

    private var entries: [Entry] = []

    mutating func add(_ records: OutputRecords, rows: [Int]) {
        records.visit { index, key, payload in
            entries.append(
                Entry(
                    row: rows[index], key: Array(key), payload: Array(payload), place: records.place(index)))
        }
    }

    func sorted() -> OutputRecords {
        var records = OutputRecords()
        for entry in entries.sorted(by: { $0.row < $1.row }) {
            entry.key.withUnsafeBufferPointer { key in
                records.append(key: key, slice: entry.place.slice, offset: entry.place.offset) {
                    $0.append(contentsOf: entry.payload)
                }
            }
        }
        return records
    }
}
