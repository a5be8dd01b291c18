import Metrics
import NIOCore
import NIOHTTPTypes

/// Closes a connection that takes too long over a request's head or body, over taking the answer, or between requests.
///
/// A client that sends a byte now and then does not get more time: each limit is for the whole head, or the whole body.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let connections: Connections
    private let limits: ConnectionLimits
    private var deadline: Scheduled<Void>?
    private var isFirst = true
    private var isReadingBody = false
    /// Requests whose answer is not complete.
    private var unanswered = 0
    private let timedOut = Counter(label: "ml_http_connections_timed_out_total")

    init(connections: Connections, limits: ConnectionLimits) {
        self.connections = connections
        self.limits = limits
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { waitForHead(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelActive(context: ChannelHandlerContext) {
        waitForHead(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            isFirst = false
            isReadingBody = true
            unanswered += 1
            connections.set(context.channel, isBusy: true)
            setDeadline(limits.bodyTimeoutMilliseconds, context)
        case .body: break
        case .end:
            isReadingBody = false
            // How long the answer takes is ours to say.
            deadline?.cancel()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let promise = promise ?? context.eventLoop.makePromise()
        let isEnd = if case .end = unwrapOutboundIn(data) { true } else { false }
        if !isReadingBody { setDeadline(limits.answerTimeoutMilliseconds, context) }
        let loop = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        promise.futureResult.whenSuccess {
            let (handler, context) = loop.value
            handler.wrote(isEnd: isEnd, context)
        }
        context.write(data, promise: promise)
    }

    private func wrote(isEnd: Bool, _ context: ChannelHandlerContext) {
        guard isEnd else {
            if !isReadingBody { deadline?.cancel() }
            return
        }
        unanswered -= 1
        guard unanswered == 0, !isReadingBody else { return }
        connections.set(context.channel, isBusy: false)
        waitForHead(context)
    }

    private func waitForHead(_ context: ChannelHandlerContext) {
        setDeadline(isFirst ? limits.headTimeoutMilliseconds : limits.idleTimeoutMilliseconds, context)
    }

    private func setDeadline(_ milliseconds: Int64, _ context: ChannelHandlerContext) {
        deadline?.cancel()
        let loop = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: .milliseconds(milliseconds)) {
            let (handler, context) = loop.value
            handler.timedOut.increment()
            context.close(promise: nil)
        }
    }
}
