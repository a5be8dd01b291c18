import Transfers

/// How to reach an S3-compatible store.
public struct S3Settings: Sendable {
    public enum Addressing: Sendable, Hashable {
        /// `path` where there is an endpoint, else `virtualHost`.
        case automatic
        /// `https://host/bucket/key`.
        case path
        /// `https://bucket.host/key`.
        case virtualHost
    }

    /// `https://host[:port]`; nil: Amazon's endpoint for the region.
    public var endpoint: String?
    /// The region to sign for; R2 wants `auto`.
    public var region = "us-east-1"
    /// nil: requests are not signed, as for public buckets.
    public var credentials: S3Credentials?
    public var addressing = Addressing.automatic
    /// PEM file of the authorities that the server's certificate may be of; nil: the system's.
    public var certificateAuthorities: String?
    /// Requests under way at once; a further one waits for its turn.
    public var maximumConnections = 16
    public var connectTimeoutMilliseconds = 5_000
    /// For one attempt, from its start to the last byte.
    public var requestTimeoutMilliseconds = 300_000
    /// An attempt ends when less than 1 KiB a second comes or goes for so long: a store that hung and is back is noticed
    /// by the next attempt.
    public var stallTimeoutSeconds = 8
    /// How often a request is tried at most when the store does not answer or is too busy.
    public var maximumAttempts = 4
    /// Before the first repetition half to all of the lower bound, doubled each time up to the upper one.
    public var backoffMilliseconds = 200...5_000

    public init(endpoint: String? = nil, region: String = "us-east-1", credentials: S3Credentials? = nil) {
        self.endpoint = endpoint
        self.region = region
        self.credentials = credentials
    }

    var transfer: TransferSettings {
        TransferSettings(
            certificateAuthorities: certificateAuthorities,
            connectTimeoutMilliseconds: connectTimeoutMilliseconds,
            requestTimeoutMilliseconds: requestTimeoutMilliseconds, stallTimeoutSeconds: stallTimeoutSeconds)
    }
}

/// What signs requests. Its descriptions do not show it.
public struct S3Credentials: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    let accessKey: String
    let secretKey: String
    let sessionToken: String?

    public init(accessKey: String, secretKey: String, sessionToken: String? = nil) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; nil when the first two are not there.
    public init?(environment: [String: String]) {
        guard let accessKey = environment["AWS_ACCESS_KEY_ID"], !accessKey.isEmpty,
            let secretKey = environment["AWS_SECRET_ACCESS_KEY"], !secretKey.isEmpty
        else { return nil }
        self.init(
            accessKey: accessKey, secretKey: secretKey, sessionToken: environment["AWS_SESSION_TOKEN"])
    }

    public var description: String { "S3Credentials(hidden)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
