import DetectorAPI
import Models

/// Stage 5: writes a model's artifact, once a job.
struct StoreStage {
    let store: ModelStore
    let jobID: String

    /// What this job has stored for a tenant in an earlier attempt.
    ///
    /// Its own version is the tenant's last, unless another job has stored one since: then the fit is repeated.
    func stored(_ tenant: Tenant) throws -> ArtifactHeader? {
        guard let last = try store.versions(of: tenant).last else { return nil }
        do {
            let header = try store.header(of: tenant, version: last)
            return header?.jobID == jobID ? header : nil
        } catch is ArtifactError {
            return nil  // somebody else's, and damaged
        }
    }

    /// Writes the artifact under the tenant's next version.
    func publish(_ header: ArtifactHeader, _ model: any DetectorModel) throws -> ArtifactHeader {
        try store.publish(header, payload: model.encode())
    }
}
