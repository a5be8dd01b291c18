/// What is asked of an HTTP server.
package struct HTTPRequest {
    package var method: String
    package var url: String
    package var headers: [(name: String, value: String)]
    package var body: [UInt8]?
    /// An answer with more bytes is an error.
    package var maximumAnswerSize: Int
    /// On a connection of its own: the one before led to something that failed, and a name may lead elsewhere now.
    package var needsNewConnection = false

    package init(
        method: String, url: String, headers: [(name: String, value: String)], body: [UInt8]? = nil,
        maximumAnswerSize: Int
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.maximumAnswerSize = maximumAnswerSize
    }
}

package struct HTTPAnswer {
    package let status: Int
    /// Lower-case names.
    package let headers: [String: String]
    package let body: [UInt8]
}

/// A request that got no answer.
package struct TransportError: Error {
    package enum Kind: Sendable {
        /// Nobody listens there.
        case refused
        case unknownName
        /// It did not answer in time.
        case slow
        /// Its certificate is not believed, or it speaks no TLS.
        case untrusted
        /// The answer has more bytes than the request allowed.
        case tooLarge
        case other
    }

    package let reason: String
    /// Whether another attempt may get one.
    package let isRetryable: Bool
    package let kind: Kind

    package init(reason: String, isRetryable: Bool, kind: Kind = .other) {
        self.reason = reason
        self.isRetryable = isRetryable
        self.kind = kind
    }
}

/// How long a transfer may take, and whose certificates are believed.
package struct TransferSettings: Sendable {
    /// PEM file of the authorities that the server's certificate may be of; nil: the system's.
    package var certificateAuthorities: String?
    package var connectTimeoutMilliseconds: Int
    /// From its start to the last byte.
    package var requestTimeoutMilliseconds: Int
    /// A transfer ends when less than 1 KiB a second comes or goes for so long.
    package var stallTimeoutSeconds: Int

    package init(
        certificateAuthorities: String?, connectTimeoutMilliseconds: Int, requestTimeoutMilliseconds: Int,
        stallTimeoutSeconds: Int
    ) {
        self.certificateAuthorities = certificateAuthorities
        self.connectTimeoutMilliseconds = connectTimeoutMilliseconds
        self.requestTimeoutMilliseconds = requestTimeoutMilliseconds
        self.stallTimeoutSeconds = stallTimeoutSeconds
    }
}
