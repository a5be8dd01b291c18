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

    /// Writes the artifact under the tenant's next version, once a job.
    ///
    /// First the number, then whether the job is still this worker's: if that pauses in between and another stores the job's
    /// model, the number is taken, by this very job.
    func publish(
        _ header: ArtifactHeader, _ model: any DetectorModel, _ journal: any TrainingJournal
    ) throws -> ArtifactHeader {
        let next = try store.nextVersion(of: header.tenant)
        try journal.confirm()
        return try store.publish(header, payload: model.encode(), from: next)
    }
}
