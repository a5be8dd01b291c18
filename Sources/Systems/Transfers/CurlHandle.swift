import CCurl
import Foundation

/// One of libcurl's easy handles, which keeps its connection open between requests.
///
/// `@unchecked Sendable`: whoever has it gives it to one thread at a time, which is what libcurl asks for.
package final class CurlHandle: @unchecked Sendable {
    private let handle: UnsafeMutableRawPointer
    private let problem: UnsafeMutablePointer<CChar>

    /// Below this many bytes a second a transfer counts as stalled.
    private static let lowestSpeed = 1024

    /// nil when there is no memory.
    package init?() {
        // Once for the process, before anything else; Swift makes a static's first use safe between threads.
        guard Self.isReady, let handle = curl_easy_init() else { return nil }
        self.handle = handle
        problem = .allocate(capacity: Int(CURL_ERROR_SIZE))
        problem.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    private static let isReady = curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK

    deinit {
        curl_easy_cleanup(handle)
        problem.deallocate()
    }

    /// Blocks until the answer is complete.
    package func send(
        _ request: HTTPRequest, settings: TransferSettings
    ) throws(TransportError) -> HTTPAnswer {
        curl_easy_reset(handle)  // keeps connections
        problem[0] = 0
        var list: UnsafeMutablePointer<curl_slist>?
        for header in request.headers { list = curl_slist_append(list, "\(header.name): \(header.value)") }
        // libcurl would wait for the server's consent before a large body.
        list = curl_slist_append(list, "Expect:")
        defer { curl_slist_free_all(list) }

        apply(settings)
        if request.needsNewConnection { ccurl_set_number(handle, CURLOPT_FRESH_CONNECT, 1) }
        ccurl_set_text(handle, CURLOPT_URL, request.url)
        ccurl_set_pointer(handle, CURLOPT_HTTPHEADER, list)
        let collector = AnswerCollector(maximumSize: request.maximumAnswerSize)
        let context = Unmanaged.passUnretained(collector).toOpaque()
        ccurl_set_receiver(handle, CURLOPT_WRITEFUNCTION, receiveBody)
        ccurl_set_pointer(handle, CURLOPT_WRITEDATA, context)
        ccurl_set_receiver(handle, CURLOPT_HEADERFUNCTION, receiveHeader)
        ccurl_set_pointer(handle, CURLOPT_HEADERDATA, context)
        let code = withExtendedLifetime(collector) { perform(request) }

        guard !collector.isTooLarge else {
            throw TransportError(
                reason: "the answer has more than \(request.maximumAnswerSize) bytes", isRetryable: false,
                kind: .tooLarge)
        }
        guard code == CURLE_OK else {
            let text = String(cString: problem[0] == 0 ? curl_easy_strerror(code) : UnsafePointer(problem))
            throw TransportError(
                reason: text, isRetryable: !Self.lastingProblems.contains(code.rawValue),
                kind: Self.kinds[code.rawValue] ?? .other)
        }
        var status = 0
        ccurl_get_number(handle, CURLINFO_RESPONSE_CODE, &status)
        return HTTPAnswer(status: status, headers: collector.headers, body: collector.body)
    }

    private func perform(_ request: HTTPRequest) -> CURLcode {
        if request.method == "HEAD" { ccurl_set_number(handle, CURLOPT_NOBODY, 1) }
        guard let body = request.body else {
            if request.method != "HEAD" { ccurl_set_text(handle, CURLOPT_CUSTOMREQUEST, request.method) }
            return curl_easy_perform(handle)
        }
        ccurl_set_size(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
        ccurl_set_number(handle, CURLOPT_POST, 1)
        ccurl_set_text(handle, CURLOPT_CUSTOMREQUEST, request.method)
        return body.withUnsafeBytes { bytes in
            // Not copied by libcurl, so it must stay until the end. A null pointer would mean: ask a callback.
            withUnsafeBytes(of: 0) { nothing in
                ccurl_set_pointer(handle, CURLOPT_POSTFIELDS, bytes.baseAddress ?? nothing.baseAddress)
                return curl_easy_perform(handle)
            }
        }
    }

    private func apply(_ settings: TransferSettings) {
        ccurl_set_pointer(handle, CURLOPT_ERRORBUFFER, problem)
        // No signals: libcurl's are for programs with one thread. It sends with MSG_NOSIGNAL.
        ccurl_set_number(handle, CURLOPT_NOSIGNAL, 1)
        ccurl_set_text(handle, CURLOPT_PROTOCOLS_STR, "http,https")
        ccurl_set_number(handle, CURLOPT_FOLLOWLOCATION, 0)
        ccurl_set_number(handle, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        ccurl_set_number(handle, CURLOPT_SSL_VERIFYPEER, 1)
        ccurl_set_number(handle, CURLOPT_SSL_VERIFYHOST, 2)
        if let path = settings.certificateAuthorities { ccurl_set_text(handle, CURLOPT_CAINFO, path) }
        // Otherwise a key with `..` between percent signs could be taken for a path to shorten, behind the signature.
        ccurl_set_number(handle, CURLOPT_PATH_AS_IS, 1)
        ccurl_set_number(handle, CURLOPT_TCP_KEEPALIVE, 1)
        ccurl_set_number(handle, CURLOPT_CONNECTTIMEOUT_MS, settings.connectTimeoutMilliseconds)
        ccurl_set_number(handle, CURLOPT_TIMEOUT_MS, settings.requestTimeoutMilliseconds)
        ccurl_set_number(handle, CURLOPT_LOW_SPEED_LIMIT, Self.lowestSpeed)
        ccurl_set_number(handle, CURLOPT_LOW_SPEED_TIME, settings.stallTimeoutSeconds)
    }

    private static let kinds: [UInt32: TransportError.Kind] = [
        CURLE_COULDNT_CONNECT.rawValue: .refused, CURLE_COULDNT_RESOLVE_HOST.rawValue: .unknownName,
        CURLE_OPERATION_TIMEDOUT.rawValue: .slow, CURLE_SSL_CONNECT_ERROR.rawValue: .untrusted,
        CURLE_PEER_FAILED_VERIFICATION.rawValue: .untrusted, CURLE_SSL_CACERT_BADFILE.rawValue: .untrusted,
    ]

    /// What another attempt would meet again.
    private static let lastingProblems: Set<UInt32> = Set(
        [
            CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT, CURLE_OUT_OF_MEMORY,
            CURLE_PEER_FAILED_VERIFICATION,
            CURLE_SSL_CERTPROBLEM, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR,
            CURLE_BAD_FUNCTION_ARGUMENT,
            CURLE_FAILED_INIT, CURLE_UNKNOWN_OPTION,
        ].map(\.rawValue))
}

/// What comes in during one request.
private final class AnswerCollector {
    private(set) var headers: [String: String] = [:]
    private(set) var body: [UInt8] = []
    private(set) var isTooLarge = false
    private let maximumSize: Int

    init(maximumSize: Int) { self.maximumSize = maximumSize }

    /// - Returns: false to break the transfer off.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard body.count + bytes.count <= maximumSize else {
            isTooLarge = true
            return false
        }
        if body.isEmpty, let size = headers["content-length"].flatMap({ Int($0) }),
            (0...maximumSize).contains(size)
        {
            body.reserveCapacity(size)
        }
        body.append(contentsOf: bytes)
        return true
    }

    func appendHeader(_ line: String) {
        // The head of a further answer, after an interim one.
        if line.hasPrefix("HTTP/") { headers.removeAll() }
        guard headers.count < 200, let colon = line.firstIndex(of: ":") else { return }
        let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespacesAndNewlines)
        headers[line[..<colon].lowercased()] = value
    }
}

private func receiveBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context else { return 0 }
    let collector = Unmanaged<AnswerCollector>.fromOpaque(context).takeUnretainedValue()
    return collector.append(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
}

private func receiveHeader(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context else { return 0 }
    let collector = Unmanaged<AnswerCollector>.fromOpaque(context).takeUnretainedValue()
    collector.appendHeader(
        String(decoding: UnsafeRawBufferPointer(start: bytes, count: size * count), as: UTF8.self))
    return size * count
}
