/// Stage 6: verdicts, windows and offsets as one step, as far as the stream can make them one.
///
/// The steps are those of `BatchProtocol`, whose driver takes them one by one and knows what a failure of each means.
public struct DeliverStage {
    private let stream: any TransactionStream
    private let windows: any WindowStore

    public init(stream: any TransactionStream, windows: any WindowStore) {
        self.stream = stream
        self.windows = windows
    }

    /// All steps, one after the other, where nobody else reads the stream or writes the windows.
    ///
    /// - Returns: false, and nothing was delivered, when the stored windows are no longer those that were read.
    /// - Throws: What a step throws. A delivery that has failed is aborted.
    public func run(_ delivery: Delivery, writing writes: WindowWrites) throws -> Bool {
        do {
            try prepare(delivery)
            guard try write(writes) else {
                try abort()
                return false
            }
            try commit()
            return true
        } catch {
            try abort()
            throw error
        }
    }

    // MARK: Steps

    /// Opens the delivery: everything but the windows, ready to be committed.
    func prepare(_ delivery: Delivery) throws { try stream.prepare(delivery) }

    /// - Returns: false, and nothing was written, when a stored window is no longer the one that was read.
    func write(_ writes: WindowWrites) throws -> Bool { try windows.write(writes) }

    func commit() throws { try stream.commit() }

    func abort() throws { try stream.abort() }

    /// The session ends with the delivery as it is.
    func abandon() { stream.abandon() }
}
