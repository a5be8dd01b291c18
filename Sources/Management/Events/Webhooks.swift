import Crypto
import Exact
import Foundation
import Logging
import Metrics
import ServiceLifecycle

/// Posts what somebody should hear of to a URL: promotions, models that the gate refused, alert floods, failed jobs.
///
/// A message is as Standard Webhooks 1.0.0 has it: `{"type", "timestamp", "data"}`, with the headers `webhook-id`,
/// `webhook-timestamp` and `webhook-signature` (`v1,` and the HMAC-SHA256 of id, timestamp and body). Its id is made of
/// what happened, so that a message that comes twice, from two processes too, can be told by it.
///
/// Messages go one after another. What waits meanwhile is bounded by `EventHub`; what does not arrive is logged, and can
/// be read again in the models' history and in the jobs.
public struct Webhooks: Service {
    public struct Target: Sendable {
        let post: JSONPost
        let key: SymmetricKey

        /// - Parameters:
        ///   - url: `https://...`; `http://` only on this machine.
        ///   - secret: `whsec_` and the key in base64, 24 to 64 bytes.
        ///   - authorities: PEM file of the authorities that the receiver's certificate may be of; nil: the system's.
        /// - Throws: `WebhookError`.
        public init(url text: String, secret: String, authorities: String? = nil) throws {
            guard let url = URL(string: text), let host = url.host, !host.isEmpty,
                ["https", "http"].contains(url.scheme)
            else { throw WebhookError("webhooks.url is no address that begins with https://") }
            guard url.scheme == "https" || ["127.0.0.1", "localhost", "::1", "[::1]"].contains(host) else {
                throw WebhookError("webhooks.url must begin with https:// for another machine")
            }
            guard authorities == nil || url.scheme == "https" else {
                throw WebhookError("webhooks.ca is for TLS: webhooks.url begins with https:// then")
            }
            let prefix = "whsec_"
            guard secret.hasPrefix(prefix),
                let key = Data(base64Encoded: String(secret.dropFirst(prefix.count))),
                (24...64).contains(key.count)
            else {
                throw WebhookError(
                    "webhooks.secret is whsec_ and 24 to 64 bytes in base64: "
                        + "echo whsec_$(head -c 32 /dev/urandom | base64 -w 0)")
            }
            post = JSONPost(
                url: text, authorities: authorities, authoritiesSetting: "webhooks.ca", timeoutSeconds: 10)
            self.key = SymmetricKey(data: key)
        }
    }

    private let target: Target
    private let hub: EventHub
    private let waits: [Duration]
    private let logger: Logger
    private let sent = Counter(label: "ml_webhooks_sent_total")
    private let failed = Counter(label: "ml_webhooks_failed_total")

    /// - Parameter waits: Before each further attempt.
    public init(
        _ target: Target, hub: EventHub,
        waits: [Duration] = [.seconds(1), .seconds(5), .seconds(30), .seconds(120), .seconds(600)],
        logger: Logger
    ) {
        self.target = target
        self.hub = hub
        self.waits = waits
        self.logger = logger
    }

    public func run() async throws {
        try? await cancelWhenGracefulShutdown {
            var filter = EventHub.Filter()
            filter.kinds = [.promotion, .flood, .job]
            var last: String?
            while !Task.isCancelled {
                guard let (number, events) = hub.listen(filter, after: last) else {
                    try await Task.sleep(for: .seconds(5))
                    continue
                }
                defer { hub.leave(number) }
                for await event in events {
                    if let place = event.number { last = "\(hub.epoch)-\(place)" }
                    if event.kind == .missed { logger.warning("webhooks did not keep up: some are not sent") }
                    if let message = Message(event) { await deliver(message) }
                }
            }
        }
    }

    private func deliver(_ message: Message) async {
        for wait in waits.map(Optional.some) + [nil] {
            let failure: String
            do {
                let status = try await post(message)
                if (200..<300).contains(status) { return sent.increment() }
                failure = "it answered \(status)"
                // The receiver's word that trying again would not help.
                if (300..<500).contains(status), ![408, 425, 429].contains(status) {
                    return giveUp(message, failure)
                }
            } catch {
                failure = "\(error)"
            }
            guard let wait else { return giveUp(message, failure) }
            do { try await Task.sleep(for: wait) } catch { return giveUp(message, "this process ends") }
        }
    }

    private func giveUp(_ message: Message, _ reason: String) {
        failed.increment()
        logger.error(
            "a webhook was not delivered",
            metadata: ["id": "\(message.id)", "type": "\(message.type)", "reason": "\(reason)"])
    }

    /// - Returns: The status of the answer.
    private func post(_ message: Message) async throws -> Int {
        let seconds = Int(Date().timeIntervalSince1970)
        return try await target.post.send(
            message.body,
            headers: [
                ("webhook-id", message.id), ("webhook-timestamp", "\(seconds)"),
                ("webhook-signature", "v1,\(message.signature(target.key, seconds: seconds))"),
            ])
    }
}

/// A webhook that is not configured as it must be.
public struct WebhookError: Error, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

extension Webhooks {
    /// One of the things that are told.
    struct Message {
        let type: String
        let id: String
        /// JSON.
        let body: [UInt8]

        /// nil: nobody needs to hear of that.
        init?(_ event: EventHub.Event, now: Int64 = Int64(Date().timeIntervalSince1970 * 1_000)) {
            guard let notice = event.notice else { return nil }
            (type, id) = (notice.type, notice.id)
            var json = JSONWriter()
            json.beginObject()
            json.field("type", type)
            json.field("timestamp") { TimeText.append(now, to: &$0) }
            json.members(Array("\"data\":".utf8) + event.json)
            json.endObject()
            body = json.bytes
        }

        /// HMAC-SHA256 of `id.timestamp.body`, in base64.
        func signature(_ key: SymmetricKey, seconds: Int) -> String {
            Data(
                HMAC<SHA256>.authenticationCode(for: Data("\(id).\(seconds).".utf8) + Data(body), using: key)
            ).base64EncodedString()
        }
    }
}
