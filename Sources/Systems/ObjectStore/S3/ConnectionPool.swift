import Dispatch
import Synchronization
import Transfers

/// A bounded number of connections, kept open between requests. Safe to use from several threads.
final class ConnectionPool: Sendable {
    private let settings: S3Settings
    private let idle = Mutex<[CurlHandle]>([])
    private let free: DispatchSemaphore

    init(settings: S3Settings) {
        self.settings = settings
        free = DispatchSemaphore(value: max(1, settings.maximumConnections))
    }

    /// Sends a request on a connection that is free, waiting for one if need be.
    func send(_ request: HTTPRequest) throws(TransportError) -> HTTPAnswer {
        guard free.wait(timeout: .now() + .milliseconds(settings.requestTimeoutMilliseconds)) == .success
        else {
            throw TransportError(
                reason: "all \(settings.maximumConnections) connections are busy", isRetryable: true)
        }
        defer { free.signal() }
        // The one used last: its connection is the least likely to have been closed by the server.
        guard let handle = idle.withLock({ $0.popLast() }) ?? CurlHandle() else {
            throw TransportError(reason: "libcurl cannot start", isRetryable: false)
        }
        // After an error the handle goes, and its connection with it: the next one may be led to another server.
        let answer = try handle.send(request, settings: settings.transfer)
        if answer.status < 500 { idle.withLock { $0.append(handle) } }
        return answer
    }
}
