import Foundation

/// Runs blocking calls one after the other on a thread of its own, so that the caller can stop waiting.
///
/// Some of librdkafka's calls take a time-out and do not keep it: `rd_kafka_send_offsets_to_transaction` waits
/// for its group's coordinator for ever (librdkafka issue 5456). Nothing ends such a call from outside. Here it
/// costs a thread and its client, and nobody who works waits for it.
final class CallThread: Sendable {
    /// Calls are handed over in `State.call`, one at a time; the thread holds this object, and not its owner.
    ///
    /// `@unchecked Sendable`: every access to `state` holds `condition`.
    private final class Exchange: @unchecked Sendable {
        struct State {
            var call: (@Sendable () -> Void)?
            var isRunning = false
            var isEnded = false
        }
        let condition = NSCondition()
        var state = State()
    }

    private let exchange = Exchange()

    init(name: String) {
        let exchange = exchange
        let thread = Thread { Self.serve(exchange) }
        thread.name = name
        thread.start()
    }

    deinit {
        exchange.condition.lock()
        exchange.state.isEnded = true
        exchange.condition.broadcast()
        exchange.condition.unlock()
    }

    /// Whether a call has not returned in its time. It may still return; nothing is called here until then.
    var isStuck: Bool {
        exchange.condition.lock()
        defer { exchange.condition.unlock() }
        return exchange.state.isRunning
    }

    /// What `body` gives; nil when it has not returned in time, or when an earlier one has not yet.
    ///
    /// `body` is let go of when it returns, whoever waits for it: it must own what it uses.
    func call<Result: Sendable>(
        timeoutMilliseconds: Int, _ body: @escaping @Sendable () -> Result
    ) -> Result? {
        let condition = exchange.condition
        let answer = Answer<Result>()
        condition.lock()
        defer { condition.unlock() }
        guard !exchange.state.isRunning else { return nil }
        exchange.state.isRunning = true
        exchange.state.call = { answer.value = body() }
        condition.broadcast()
        let deadline = Date(timeIntervalSinceNow: Double(timeoutMilliseconds) / 1_000)
        while exchange.state.isRunning {
            guard condition.wait(until: deadline) else { break }
        }
        return exchange.state.isRunning ? nil : answer.value
    }

    /// `@unchecked Sendable`: written before the thread says under the condition that the call is over, read
    /// after that.
    private final class Answer<Value>: @unchecked Sendable {
        var value: Value?
    }

    private static func serve(_ exchange: Exchange) {
        while true {
            exchange.condition.lock()
            while exchange.state.call == nil, !exchange.state.isEnded { exchange.condition.wait() }
            let call = exchange.state.call
            exchange.state.call = nil
            exchange.condition.unlock()
            guard let call else { return }
            call()
            exchange.condition.lock()
            exchange.state.isRunning = false
            exchange.condition.broadcast()
            exchange.condition.unlock()
        }
    }
}
