import GRDB
import Signing

/// Which generations of manifests and tables this machine has seen, so that nobody puts an older one back unseen.
///
/// Of a disk that fails, this process remembers.
extension ModelCache: SeenGenerations {
    public func newestGeneration(of name: String) -> Int64? {
        let remembered = generations.withLock { $0[name] }
        if let remembered { return remembered }
        let stored = attempt {
            try database.read { db in
                try Int64.fetchOne(
                    db, sql: "SELECT generation FROM generation WHERE name = ?", arguments: [name])
            }
        }
        guard let stored, let generation = stored else { return nil }
        generations.withLock { $0[name] = max(generation, $0[name] ?? generation) }
        return generation
    }

    public func note(_ generation: Int64, of name: String) {
        guard newestGeneration(of: name).map({ $0 < generation }) ?? true else { return }
        generations.withLock { $0[name] = max(generation, $0[name] ?? generation) }
        attempt {
            try database.write { db in
                try db.execute(
                    sql: """
                        INSERT INTO generation VALUES (?1, ?2)
                        ON CONFLICT (name) DO UPDATE SET generation = max(generation, ?2)
                        """, arguments: [name, generation])
            }
        }
    }
}
