import DetectorAPI

extension ModelStore {
    /// Stores an artifact of another store as it is: under the tenant and the version that it names, with the signature that
    /// it has.
    ///
    /// - Returns: Its header, and whether the same bytes were here already.
    /// - Throws: `ArtifactError`: `.wrongSignature` where none of this store's keys has signed it, `.versionTaken` where the
    ///   version is another model here, `.tooLarge` beyond `limits`; `ObjectStoreError`.
    public func adopt(_ file: ArtifactBytes) throws -> (header: ArtifactHeader, wasHere: Bool) {
        let header = try open(file).artifact.header
        let (tenant, version) = (header.tenant, header.version)
        guard ModelNumbers.versions.contains(version) else {
            throw ArtifactError.damaged("there is no version \(version)")
        }
        let key = artifactKey(tenant, version)
        func isHere() throws -> Bool {
            guard let other = try bytes(of: tenant, version: version) else { return false }
            let isSame = withExtendedLifetime(other) { other.bytes.elementsEqual(file.bytes) }
            guard isSame else { throw ArtifactError.versionTaken(key: key) }
            return true
        }
        if try isHere() { return (header, true) }
        try limits.check(tenant, sizeBytes: file.bytes.count, stored: try stored(of: tenant))
        guard try objects.putIfUnchanged(key, [UInt8](file.bytes), .absent) else {
            guard try isHere() else { throw ArtifactError.versionTaken(key: key) }
            return (header, true)
        }
        // A pack that came meanwhile may have the same number; whoever sees the other gives way.
        if try packed(of: tenant).contains(where: { $0.entry.version == version }) {
            try objects.delete(key)
            throw ArtifactError.versionTaken(key: key)
        }
        return (header, false)
    }
}
