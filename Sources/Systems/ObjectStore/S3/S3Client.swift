import Exact
import Glibc
import Transfers

/// Signs requests to one bucket, sends them, and tries again where that can help.
struct S3Client: Sendable {
    let address: S3Address
    let settings: S3Settings
    /// For people.
    let location: String
    private let pool: ConnectionPool

    init(address: S3Address, location: String, settings: S3Settings) {
        self.address = address
        self.settings = settings
        self.location = "\(location) at \(address.origin)"
        pool = ConnectionPool(settings: settings)
    }

    struct Request {
        var method: String
        /// In the bucket; empty: the bucket itself.
        var key: String
        var query: [String: String] = [:]
        var headers: [(name: String, value: String)] = []
        var body: [UInt8]?
        var maximumAnswerSize = 1 << 20
    }

    /// The answer, whatever its status, after as many attempts as are worth while.
    ///
    /// A request that is repeated may have been carried out before.
    func send(_ request: Request) throws(ObjectStoreError) -> HTTPAnswer {
        let payloadHash = SignatureV4.hash(request.body ?? [])
        var attempt = 1
        while true {
            let reason: String
            do throws(TransportError) {
                var attempted = signed(request, payloadHash: payloadHash)
                attempted.needsNewConnection = attempt > 1
                let answer = try pool.send(attempted)
                guard Self.isPassing(answer) else { return answer }
                reason = Self.reason(answer)
            } catch {
                if error.kind == .tooLarge {
                    throw .tooLarge(
                        key: request.key, sizeBytes: nil, maximumSize: request.maximumAnswerSize)
                }
                guard error.isRetryable else { throw .failed(location: location, reason: error.reason) }
                reason = error.reason
            }
            guard attempt < settings.maximumAttempts else {
                let attempts = attempt == 1 ? "" : " (\(attempt) attempts)"
                throw .unavailable(location: location, reason: reason + attempts)
            }
            usleep(
                UInt32(clamping: Self.pauseMilliseconds(after: attempt, settings.backoffMilliseconds) * 1000))
            attempt += 1
        }
    }

    /// The error that an answer stands for.
    func error(_ answer: HTTPAnswer, key: String) -> ObjectStoreError {
        let reason = Self.reason(answer)
        switch answer.status {
        case 412: return .preconditionFailed(key: key)
        case 401, 403: return .denied(location: location, reason: reason)
        case 400 where Self.credentialCodes.contains(S3Problem(answer.body)?.code ?? ""):
            return .denied(location: location, reason: reason)
        case 404 where S3Problem(answer.body)?.code != "NoSuchBucket": return .notFound(key: key)
        case 301, 307, 308:
            return .failed(
                location: location,
                reason: "\(reason); the bucket is in another region or at another endpoint")
        default: return .failed(location: location, reason: reason)
        }
    }

    /// Half to all of the pause, so that many clients do not come back at the same time.
    static func pauseMilliseconds(after attempt: Int, _ range: ClosedRange<Int>) -> Int {
        let full = min(range.upperBound, max(1, range.lowerBound) << min(attempt - 1, 20))
        return Int.random(in: (full / 2)...max(1, full))
    }

    private static let credentialCodes: Set<String> = [
        "ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed", "InvalidAccessKeyId",
    ]

    /// Whether the store gets over it: too busy, or two conditional writes at the same moment.
    private static func isPassing(_ answer: HTTPAnswer) -> Bool {
        switch answer.status {
        case 408, 429, 500, 502, 503, 504: true
        case 409: S3Problem(answer.body)?.code == "ConditionalRequestConflict"
        case 400: S3Problem(answer.body)?.code == "RequestTimeout"
        default: false
        }
    }

    private static func reason(_ answer: HTTPAnswer) -> String {
        guard let problem = S3Problem(answer.body) else { return "HTTP status \(answer.status)" }
        return "\(problem.code): \(problem.message) (HTTP status \(answer.status))"
    }

    private func signed(_ request: Request, payloadHash: String) -> HTTPRequest {
        let path = address.path(request.key)
        let query = S3Address.query(request.query)
        var headers = request.headers
        if let credentials = settings.credentials {
            let time = TimeText.compact(secondsSince1970: Glibc.time(nil))
            headers += [
                ("host", address.host), ("x-amz-content-sha256", payloadHash), ("x-amz-date", time),
            ]
            if let token = credentials.sessionToken { headers.append(("x-amz-security-token", token)) }
            let signature = SignatureV4(credentials: credentials, region: settings.region, service: "s3")
            let authorization = signature.authorization(
                method: request.method, path: path, query: query, headers: headers, payloadHash: payloadHash,
                time: time)
            headers.append(("authorization", authorization))
        }
        if request.body != nil { headers.append(("content-type", "application/octet-stream")) }
        return HTTPRequest(
            method: request.method, url: address.origin + path + (query.isEmpty ? "" : "?\(query)"),
            headers: headers, body: request.body, maximumAnswerSize: request.maximumAnswerSize)
    }
}
