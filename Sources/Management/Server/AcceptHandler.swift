import Glibc
import Logging
import NIOCore

/// Stands before everything else in the listening channel: keeps to the number of connections, and outlives a process
/// that has no more file handles. Without it such an error would end the listening for good.
final class AcceptHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let connections: Connections
    private let logger: Logger
    /// Not accepting for a moment, because the last attempt failed.
    private var isPausing = false
    private var wantsRead = false
    private var isFailing = false

    private static let pause = TimeAmount.milliseconds(500)

    init(connections: Connections, logger: Logger) {
        self.connections = connections
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        if isFailing {
            isFailing = false
            logger.notice("HTTP connections are accepted again")
        }
        switch connections.admit(channel) {
        case .admitted: break
        case .inPlaceOf(let other): other.close(promise: nil)
        case .refused:
            channel.close(promise: nil)
            return
        }
        let connections = connections
        channel.closeFuture.whenComplete { _ in connections.remove(channel) }
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        if isPausing { wantsRead = true } else { context.read() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, Self.passing.contains(error.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        if !isFailing {
            isFailing = true
            logger.error(
                "HTTP connections cannot be accepted; trying again twice a second",
                metadata: ["reason": "\(String(cString: strerror(error.errnoCode)))"])
        }
        guard !isPausing else { return }
        isPausing = true
        let loop = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.pause) {
            let (handler, context) = loop.value
            handler.isPausing = false
            if handler.wantsRead {
                handler.wantsRead = false
                context.read()
            }
        }
    }

    /// What gets better by itself.
    private static let passing: Set<CInt> = [
        EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO, EPERM, ENETDOWN, EHOSTDOWN, EHOSTUNREACH,
        ENETUNREACH,
    ]
}
