import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Gives the refusal of a request whose head cannot be read a body that says why: such a request comes to no route,
/// and the server's own answer has none.
final class UnreadableHeadHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// What was wrong with the request; nil: nothing yet.
    private var failure: (any Error)?

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = error
        context.fireErrorCaught(error)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        // What a route answers has a length of its own.
        guard let failure, case .head(var head) = unwrapOutboundIn(data), head.status == .badRequest,
            head.headerFields[.contentLength] == "0", let body = try? Self.body(failure)
        else { return context.write(data, promise: promise) }
        head.headerFields[.contentType] = Problem.contentType
        head.headerFields[.contentLength] = "\(body.readableBytes)"
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: promise)
    }

    private static func body(_ failure: any Error) throws -> ByteBuffer {
        let problem = Problem(
            .badRequest, "invalid-request-head",
            "the request is no HTTP/1.1 that can be read: \(failure); its head has at most 80 KiB and 1,000 fields"
        )
        return ByteBuffer(bytes: try problem.json())
    }
}
