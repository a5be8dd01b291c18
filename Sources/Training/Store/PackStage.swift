import DetectorAPI
import Models

/// Stage 5 for all users: writes the models of a part of the users as one object, or a few where they are large.
///
/// A job that is run again finds what it has written: the same users' models, as the same rows and seed give them.
struct PackStage {
    private let store: ModelStore
    private let shard: String
    private let jobID: String
    private let createdMilliseconds: Int64
    private let versions: ModelStore.ShardVersions
    private let erased: ErasedMeanwhile
    private var writer: PackWriter
    private var packs = 0
    /// In the order in which they came.
    private var trained: [(userID: String, isEarned: Bool, retired: UsersPart.Retired?)] = []
    private var written: [Tenant: ModelStore.PackedVersion] = [:]

    /// Of a pack: it is made in memory, on several threads at once.
    private static let packBytes = 64 << 20

    /// - Parameters:
    ///   - shard: `00` to `ff`.
    ///   - erased: Whose models are left out.
    init(
        store: ModelStore, shard: String, jobID: String, createdMilliseconds: Int64, erased: ErasedMeanwhile
    ) throws {
        self.store = store
        self.erased = erased
        self.shard = shard
        self.jobID = jobID
        self.createdMilliseconds = createdMilliseconds
        versions = try store.versions(inShard: shard)
        writer = store.packWriter(createdMilliseconds: createdMilliseconds)
    }

    /// - Parameters:
    ///   - isEarned: Whether the user's model has earned its place.
    ///   - retired: The user's active version, if it is to serve no longer.
    /// - Throws: `ArtifactError.tooLarge`; then the model is not in it, and others can be added.
    mutating func add(
        _ header: ArtifactHeader, _ model: any DetectorModel, isEarned: Bool, retired: UsersPart.Retired?
    ) throws {
        let userID = header.userID ?? ""
        var header = header
        header.version = versions.next(of: userID)
        try writer.add(header, payload: model.encode())
        trained.append((userID, isEarned, retired))
        if writer.sizeBytes >= Self.packBytes { try write() }
    }

    /// Writes the rest.
    ///
    /// - Returns: The models that are stored, by user as they came.
    mutating func finish() throws -> [UsersPart.Model] {
        if !writer.isEmpty { try write() }
        return trained.compactMap { userID, isEarned, retired in
            written[.user(userID)].map {
                UsersPart.Model(
                    userID: userID, version: $0.version, isEarned: isEarned, place: $0.place,
                    retired: retired)
            }
        }
    }

    private mutating func write() throws {
        let name = packs == 0 ? jobID : "\(jobID)-\(packs + 1)"
        // Handed over, so that its bytes are there once.
        var full = writer
        writer = store.packWriter(createdMilliseconds: createdMilliseconds)
        packs += 1
        full.remove(try erased.users())
        guard !full.isEmpty else { return }
        for version in try store.publish(full, shard: shard, name: name) {
            written[.user(version.userID)] = version
        }
    }
}
