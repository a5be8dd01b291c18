/// How workers hear of promotions. Thread-safe; calls block.
public protocol ModelEvents: Sendable {
    func publish(_ changes: [ModelChange]) throws

    /// Removes what names a tenant, and sends every follower to the catalogue.
    ///
    /// - Returns: How many changes were removed.
    func erase(_ tenant: Tenant) throws -> Int

    /// Changes after a place in the stream, waiting a while for the first.
    ///
    /// - Parameter cursor: What the last call gave; nil: from now on.
    /// - Throws: `ModelEventsError.placeLost`: read the catalogue and go on from now.
    func read(after cursor: String?, waitMilliseconds: Int) throws -> (changes: [ModelChange], cursor: String)
}

public enum ModelEventsError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Changes after the cursor are no longer in the stream, or too many to be told one by one.
    case placeLost

    public var description: String { "changes were missed; the catalogue has to be read again" }
}
