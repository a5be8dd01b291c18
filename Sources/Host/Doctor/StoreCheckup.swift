import Foundation
import ObjectStore

/// Tries an object store: writes on a condition, reads, removes, lists.
struct StoreCheckup {
    /// `store` or `lake`.
    let part: String
    let open: () throws -> any ObjectStore

    /// The model store must refuse a write whose condition does not hold: promotion rests on it.
    func conditionalWrites() -> Finding {
        checked(
            "conditional writes", advice: "use a store with If-None-Match and If-Match on PUT (S3, R2, MinIO)"
        ) {
            let store = try open()
            let key = "doctor/\(UUID().uuidString)"
            let first = try store.put(key, Array("first".utf8), if: .absent)
            defer { try? store.delete(key) }
            let again = isRefused { try store.put(key, Array("second".utf8), if: .absent) }
            try store.put(key, Array("third".utf8), if: .unchanged(first))
            let stale = isRefused { try store.put(key, Array("fourth".utf8), if: .unchanged(first)) }
            guard again, stale else {
                return Finding(
                    part, "conditional writes", .bad, "\(store.location) overwrites what it should not",
                    advice:
                        "use a store with If-None-Match and If-Match on PUT: two promotions would undo each other"
                )
            }
            guard try store.get(key, range: 1..<5) == Array("hird".utf8) else {
                return Finding(
                    part, "conditional writes", .bad,
                    "\(store.location) does not answer a ranged read rightly")
            }
            return Finding(part, "conditional writes", .good, store.location)
        }
    }

    /// Whether there is anything below the prefix.
    func content(prefix: String, advice: String) -> Finding {
        checked("content", advice: "check \(part).uri and the credentials") {
            let store = try open()
            let isThere = try !store.list(prefix: prefix, after: nil, limit: 1).isEmpty
            return Finding(
                part, "content", isThere ? .good : .warning,
                isThere ? "\(store.location) has \(prefix)" : "\(store.location) has nothing under \(prefix)",
                advice: isThere ? "" : advice)
        }
    }

    private func isRefused(_ write: () throws -> VersionTag) -> Bool {
        do {
            _ = try write()
            return false
        } catch ObjectStoreError.preconditionFailed {
            return true
        } catch {
            return false
        }
    }

    private func checked(_ check: String, advice: String, _ body: () throws -> Finding) -> Finding {
        do {
            return try body()
        } catch ObjectStoreError.denied(let location, let reason) {
            return Finding(
                part, check, .bad, "\(ObjectStoreError.denied(location: location, reason: reason))",
                advice: "check s3.accesskey and s3.secretkey, and what they may do there")
        } catch {
            let isAway = (error as? ObjectStoreError)?.isRetryable ?? false
            return Finding(
                part, check, isAway ? .away : .bad, "\(error)",
                advice: isAway ? "check s3.endpoint, and that the store runs" : advice)
        }
    }
}
