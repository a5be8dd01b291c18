/// How much one user's models may take, so that nobody's crowd out the others'. The global model has no such limit.
public struct UserModelLimits: Sendable, Hashable {
    /// Bytes of a version as it is stored. A larger one is neither stored nor loaded.
    public var modelBytes: Int
    /// Bytes of all versions of a user together. No further one is stored beyond it.
    public var totalBytes: Int

    public init(modelBytes: Int = 16 << 20, totalBytes: Int = 256 << 20) {
        self.modelBytes = modelBytes
        self.totalBytes = totalBytes
    }

    /// Before a version is stored.
    ///
    /// - Parameter stored: The tenant's versions that are there.
    /// - Throws: `ArtifactError.tooLarge`, with the sizes.
    func check(_ tenant: Tenant, sizeBytes: Int, stored: [ModelStore.StoredVersion] = []) throws {
        guard tenant != .global else { return }
        guard sizeBytes <= modelBytes else {
            throw ArtifactError.tooLarge(
                "\(tenant)'s model has \(sizeBytes) bytes, models.userbytes allows \(modelBytes)")
        }
        let total = stored.reduce(0) { $0 + $1.sizeBytes }
        guard total + sizeBytes <= totalBytes else {
            throw ArtifactError.tooLarge(
                "\(tenant)'s model has \(sizeBytes) bytes beside \(total) of \(stored.count) versions, "
                    + "models.usertotal allows \(totalBytes) together")
        }
    }

    /// Before a version is made ready, which takes a multiple of its size.
    ///
    /// - Throws: `ModelLoadError.tooLarge`.
    func checkLoaded(_ tenant: Tenant, sizeBytes: Int) throws {
        guard tenant == .global || sizeBytes <= modelBytes else {
            throw ModelLoadError.tooLarge(sizeBytes: sizeBytes, limit: modelBytes)
        }
    }
}
