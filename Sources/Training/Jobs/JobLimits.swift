/// What one of those who submit jobs may ask for, so that none keeps the others out of the queue. They are told apart by
/// the names of their API keys; whoever has none, the schedule for one, is bound by the queue's size alone.
public struct JobLimits: Sendable, Hashable {
    /// Jobs that may wait at a time.
    public var waiting: Int
    /// Jobs within an hour, whatever became of them.
    public var anHour: Int

    public init(waiting: Int = 10_000, anHour: Int = 20_000) {
        self.waiting = waiting
        self.anHour = anHour
    }
}
