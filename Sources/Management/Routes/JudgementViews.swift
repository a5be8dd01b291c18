import Models

/// A candidate of `detector: auto` as the API shows it.
struct CandidateView: Encodable {
    let name: String
    let features: String
    let chosen: Bool
    let measures: [String: Double]
    let note: String?

    init(_ candidate: CandidateJudgement) {
        name = candidate.name
        features = candidate.features
        chosen = candidate.isChosen
        measures = candidate.measures
        note = candidate.note
    }
}

/// A line of the gate's table as the API shows it.
struct GateView: Encodable {
    let name: String
    let value: Double
    let bound: String
    let limit: Double
    let passed: Bool

    init(_ check: GateCheck) {
        name = check.name
        value = check.value
        bound = check.bound.rawValue
        limit = check.limit
        passed = check.isPassed
    }
}
