/// What must hold, whatever is killed when. One catalogue for documents, simulation, asserts and `prove`.
public enum Invariant: String, Sendable, CaseIterable {
    case oneVerdict = "W-1"
    case exactWindows = "W-2"
    case offsetsForward = "W-3"
    case nothingHeld = "W-4"
    case nothingSkipped = "W-5"
    case marksAreTrue = "W-6"
    case noBlindWrite = "W-7"
    case freshTokens = "W-8"
    case windowsCountCommitted = "W-9"
    case sameBytesAgain = "W-10"
    case fencedStops = "W-11"
    case openOutcomeStaysOpen = "W-12"

    /// The sentence that documents print.
    public var sentence: String {
        switch self {
        case .oneVerdict:
            "A record has one committed verdict: never two in exactly-once, and in at-least-once none but copies."
        case .exactWindows:
            "A committed verdict without a mark of loss was made from the window of an undisturbed run, bit for bit."
        case .offsetsForward:
            "The committed offset of a partition only moves forward, unless a person sets it back."
        case .nothingHeld:
            "When faults stop, every record gets its verdict: no batch, partition or transaction is held for ever."
        case .nothingSkipped:
            "Every record below the committed offset has its verdict."
        case .marksAreTrue:
            "A mark of loss is only on verdicts of a partition whose windows the store did lose."
        case .noBlindWrite:
            "A window is written only over the one that was read."
        case .freshTokens:
            "No two writings of a window carry the same token, but repetitions of one request."
        case .windowsCountCommitted:
            "At rest, a user's window is that of the committed records, each counted once."
        case .sameBytesAgain:
            "A batch repeated in place keeps the models of its first attempt and gives the same bytes."
        case .fencedStops:
            "A worker that is fenced ends its session and does nothing more under its old name."
        case .openOutcomeStaysOpen:
            "A batch counts as delivered only when the broker has answered the commit."
        }
    }
}
