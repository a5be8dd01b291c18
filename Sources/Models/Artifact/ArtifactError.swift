/// Bytes that are no artifact, a damaged one, or one that this service did not sign.
public enum ArtifactError: Error, Sendable, Hashable, CustomStringConvertible {
    case notAnArtifact
    case unknownFormat(Int)
    case damaged(String)
    /// A key is configured, and the artifact is unsigned or signed with another one.
    case wrongSignature
    /// It would be larger than what is read again.
    case tooLarge(String)
    /// The tenant's last version has the highest number there is: somebody else put an object there.
    case noVersionLeft(key: String)
    /// Another model has the tenant and the version that an artifact from outside names.
    case versionTaken(key: String)

    public var description: String {
        switch self {
        case .notAnArtifact: "it is no model artifact"
        case .unknownFormat(let version):
            "its format is \(version); this service reads \(Artifact.readableVersions.lowerBound) to "
                + "\(Artifact.readableVersions.upperBound)"
        case .damaged(let reason): "it is damaged: \(reason)"
        case .wrongSignature:
            "no key of models.hmackey and models.oldhmackeys has signed it: the key of the store that it comes from goes into "
                + "models.oldhmackeys; a model that no key signed, or a lost one, is trained again"
        case .tooLarge(let reason): "it is too large: \(reason)"
        case .noVersionLeft(let key): "there is no number after \(key), which is not ours: remove that object"
        case .versionTaken(let key):
            "another model has its version here, \(key): it keeps its name in verdicts, and goes into a store that has no "
                + "such version"
        }
    }
}
