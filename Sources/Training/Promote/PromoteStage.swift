import Models

/// Stage 6: makes the versions active that are to be: each is loaded and checked first, then the catalogue changes.
struct PromoteStage {
    let promotion: Promotion

    /// A job that is run again promotes the same versions, of which those that are active already do not change.
    ///
    /// - Parameters:
    ///   - versions: One manifest write for each shard of users they lie in.
    ///   - places: Of those in packs.
    ///   - overtakes: As of `Promotion.promote`.
    func run(
        _ versions: [Tenant: Int], places: [Tenant: PackPlace] = [:], overtakes: Bool = false
    ) throws {
        guard !versions.isEmpty else { return }
        // Without a reason the history names the job that each was made by.
        try promotion.promote(
            versions, places: places, overtakes: overtakes, by: "training", reason: nil)
    }
}

extension TrainingRequest {
    /// Whether a stored model of this request is to serve now.
    func promotes(_ header: ArtifactHeader) -> Bool {
        switch promotion {
        case .manual: false
        case .auto: header.metrics[TrainingPipeline.earned] != 0
        case .gated: header.metrics[TrainingPipeline.earned] != 0 && header.gate.allSatisfy(\.isPassed)
        }
    }
}
