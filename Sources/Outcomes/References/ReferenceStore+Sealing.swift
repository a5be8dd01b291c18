import Exact
import Foundation
import ObjectStore
import Signing

/// What keys say of tables: the SHA-256 of each, and which one serves.
extension ReferenceStore {
    private static let maximumSize = 4_096

    private func sealKey(_ version: Int) -> String { "references/v\(version).seal" }

    // MARK: Which one serves

    func readLatest() throws -> (version: Int, seal: Sealing.Seal?)? {
        var attempts = 0
        while true {
            do {
                return try readLatestOnce()
            } catch let refusal as Refusal {
                // Another thread may have written and noted a newer one since this one was fetched.
                attempts += 1
                if case .older = refusal.reason, attempts < 3 { continue }
                throw ReferenceError.damaged(file: Self.latestKey, reason: "\(refusal.reason)")
            }
        }
    }

    private struct Refusal: Error {
        let reason: SealError
    }

    private func readLatestOnce() throws -> (version: Int, seal: Sealing.Seal?)? {
        guard let object = try objects.get(Self.latestKey, maximumSize: Self.maximumSize) else {
            do throws(SealError) {
                try sealing.checkAbsence(name: Self.latestKey)
                return nil
            } catch {
                throw Refusal(reason: error)
            }
        }
        let seal: Sealing.Seal?
        do throws(SealError) {
            seal = try sealing.check(object.bytes, name: Self.latestKey)
        } catch {
            throw Refusal(reason: error)
        }
        let text = String(decoding: object.bytes, as: UTF8.self).trimmingCharacters(
            in: .whitespacesAndNewlines)
        let version = Int(text) ?? (Self.member("version", of: object.bytes) as? Int)
        guard let version, Self.possibleVersions.contains(version) else {
            throw ReferenceError.damaged(
                file: Self.latestKey,
                reason: "'\(text.prefix(40))' is no version; ml-service references use sets it")
        }
        return (version, seal)
    }

    func writeLatest(_ version: Int, after generation: Int64?) throws {
        guard sealing.isOn else {
            try objects.put(Self.latestKey, Array("\(version)\n".utf8), if: .always)
            return
        }
        let next = Sealing.generation(after: generation)
        let json = Array(#"{"version":\#(version)}"#.utf8)
        try objects.put(
            Self.latestKey, sealing.sealed(json, name: Self.latestKey, generation: next), if: .always)
        sealing.note(next, of: Self.latestKey)
    }

    // MARK: A table

    /// - Parameter sha256: Hexadecimal, of the table before its checksum.
    func seal(_ version: Int, sha256: String) throws {
        guard sealing.isOn else { return }
        let name = sealKey(version)
        let json = Array(#"{"sha256":"\#(sha256)"}"#.utf8)
        try objects.put(name, sealing.sealed(json, name: name, generation: 0), if: .always)
    }

    /// - Throws: `ReferenceError.damaged`: no key of ours has signed the table; the store's own errors.
    func check(_ version: Int, sha256: String) throws {
        guard sealing.isOn else { return }
        let name = sealKey(version)
        let stored = try objects.get(name, maximumSize: Self.maximumSize)?.bytes
        do throws(SealError) {
            guard let bytes = stored else { throw .unsigned }
            _ = try sealing.seal(of: bytes, name: name)
            guard Self.member("sha256", of: bytes) as? String == sha256 else { throw .forged }
        } catch {
            throw ReferenceError.damaged(file: key(version), reason: "\(error)")
        }
    }

    private static func member(_ name: String, of json: [UInt8]) -> Any? {
        (try? JSONSerialization.jsonObject(with: Data(json)) as? [String: Any])?[name]
    }

    // MARK: Another key

    /// Has the newest key seal every table that an older one has sealed, and which one serves.
    ///
    /// - Parameters:
    ///   - signsUnsigned: What no key has sealed is believed, once.
    ///   - isRestored: The store was restored from a copy, and is newer than what was seen of it.
    /// - Returns: How many were sealed, and what stays as it is, with the reason.
    public func resign(signsUnsigned: Bool, isRestored: Bool) throws -> (signed: Int, refused: [String]) {
        guard sealing.isOn else { return (0, []) }
        let unchecked = ReferenceStore(objects: objects)
        var result: (signed: Int, refused: [String]) = (0, [])
        for version in try versions() {
            do {
                let sha256 = try unchecked.load(version).sha256
                let stored = try objects.get(sealKey(version), maximumSize: Self.maximumSize)?.bytes
                if let stored {
                    let seal = try sealing.seal(of: stored, name: sealKey(version))
                    guard Self.member("sha256", of: stored) as? String == sha256 else {
                        throw SealError.forged
                    }
                    if seal?.isCurrent == true { continue }
                } else if !signsUnsigned {
                    throw SealError.unsigned
                }
                try seal(version, sha256: sha256)
                result.signed += 1
            } catch let error as ObjectStoreError {
                throw error
            } catch {
                result.refused.append("\(key(version)): \(error)")
            }
        }
        guard let object = try objects.get(Self.latestKey, maximumSize: Self.maximumSize) else {
            return result
        }
        do {
            var seal: Sealing.Seal?
            do throws(SealError) {
                seal = try sealing.seal(of: object.bytes, name: Self.latestKey)
            } catch {
                guard error == .unsigned, signsUnsigned else { throw error }
            }
            if seal?.isCurrent != true || isRestored, let version = try unchecked.latest() {
                try writeLatest(version, after: seal?.generation)
                result.signed += 1
            }
        } catch let error as SealError {
            result.refused.append("\(Self.latestKey): \(error)")
        }
        return result
    }
}
