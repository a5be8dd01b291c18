import Dispatch
import Synchronization
import Transfers

/// Posts JSON to one address, one after another, on a connection that stays open between them. A redirect is an answer like
/// others: what is meant for one receiver goes to no other. Thread-safe.
///
///     let status = try await post.send(json, headers: [("webhook-id", id)])
final class JSONPost: Sendable {
    /// Why there was no answer.
    struct NoAnswer: Error, CustomStringConvertible {
        let description: String
    }

    private static let maximumAnswerSize = 1 << 20

    private let url: String
    private let authoritiesSetting: String
    private let settings: TransferSettings
    /// libcurl blocks.
    private let queue = DispatchQueue(label: "json-post")
    /// Of the connection that is open; nil: there is none, or it is in use.
    private let handle = Mutex<CurlHandle?>(nil)

    /// - Parameters:
    ///   - authorities: PEM file of the authorities that the receiver's certificate may be of; nil: the system's.
    ///   - authoritiesSetting: The setting that names that file, for errors.
    init(url: String, authorities: String?, authoritiesSetting: String, timeoutSeconds: Int) {
        self.url = url
        self.authoritiesSetting = authoritiesSetting
        settings = TransferSettings(
            certificateAuthorities: authorities, connectTimeoutMilliseconds: timeoutSeconds * 1_000,
            requestTimeoutMilliseconds: timeoutSeconds * 1_000, stallTimeoutSeconds: timeoutSeconds)
    }

    /// - Returns: The status of the answer.
    /// - Throws: `NoAnswer`; `CancellationError` at once, while what is under way ends by itself.
    func send(_ body: [UInt8], headers: [(name: String, value: String)] = []) async throws -> Int {
        let (answers, answer) = AsyncThrowingStream<Int, any Error>.makeStream()
        queue.async { [self] in
            do throws(NoAnswer) {
                answer.yield(try transfer(body, headers))
                answer.finish()
            } catch {
                answer.finish(throwing: error)
            }
        }
        for try await status in answers { return status }
        throw CancellationError()
    }

    private func transfer(
        _ body: [UInt8], _ headers: [(name: String, value: String)]
    ) throws(NoAnswer) -> Int {
        let open = handle.withLock { handle in
            defer { handle = nil }
            return handle
        }
        guard let used = open ?? CurlHandle() else { throw NoAnswer(description: "libcurl cannot start") }
        do throws(TransportError) {
            let answer = try used.send(
                HTTPRequest(
                    method: "POST", url: url, headers: headers + [("Content-Type", "application/json")],
                    body: body, maximumAnswerSize: Self.maximumAnswerSize), settings: settings)
            // After an error the handle goes, and its connection with it: the name may lead elsewhere by now.
            handle.withLock { $0 = used }
            return answer.status
        } catch {
            throw NoAnswer(
                description: error.kind == .untrusted
                    ? "TLS: its certificate is refused, or it speaks no TLS (\(error.reason)); \(authoritiesSetting) names its authorities"
                    : error.reason)
        }
    }
}
