import Foundation

/// Hands elements from one thread to another, at most `capacity` ahead.
final class BoundedQueue<Element: Sendable>: @unchecked Sendable {  // every access holds `condition`
    private let condition = NSCondition()
    private let capacity: Int
    private var elements: [Element] = []
    private var isClosed = false

    init(capacity: Int) { self.capacity = capacity }

    /// Adds an element, waiting for room.
    ///
    /// - Returns: false when there was no room within the time; true also when the queue is closed, where
    ///   the element is dropped.
    func put(_ element: Element, timeoutMilliseconds: Int) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        let deadline = Date(timeIntervalSinceNow: Double(timeoutMilliseconds) / 1_000)
        while elements.count >= capacity, !isClosed {
            guard condition.wait(until: deadline) else { return false }
        }
        if !isClosed {
            elements.append(element)
            condition.broadcast()
        }
        return true
    }

    /// The next element, waiting for one; nil once the queue is closed and empty.
    func take() -> Element? {
        condition.lock()
        defer { condition.unlock() }
        while elements.isEmpty, !isClosed { condition.wait() }
        guard !elements.isEmpty else { return nil }
        defer { condition.broadcast() }
        return elements.removeFirst()
    }

    /// Lets the taker have what is left.
    func close() {
        condition.lock()
        isClosed = true
        condition.broadcast()
        condition.unlock()
    }

    /// Drops what is left.
    func closeAndDrop() {
        condition.lock()
        elements = []
        isClosed = true
        condition.broadcast()
        condition.unlock()
    }
}
