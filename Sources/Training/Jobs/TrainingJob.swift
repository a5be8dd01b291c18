/// A training job as its users see it.
public struct TrainingJob: Codable, Sendable, Hashable {
    public enum State: String, Codable, Sendable, CaseIterable {
        case queued, running, succeeded, failed, cancelled

        public var isFinal: Bool { self == .succeeded || self == .failed || self == .cancelled }
    }

    public var id: String
    public var request: TrainingRequest
    public var state = State.queued
    public var stage: TrainingStage?
    /// Of the stage, 0 to 1.
    public var progress = 0.0
    public var outcome: TrainingOutcome?
    public var error: String?
    /// How often it has been begun; more than one after a crash.
    public var attempts = 0
    public var createdMilliseconds: Int64
    public var finishedMilliseconds: Int64?

    init(id: String, request: TrainingRequest, createdMilliseconds: Int64) {
        self.id = id
        self.request = request
        self.createdMilliseconds = createdMilliseconds
    }
}
