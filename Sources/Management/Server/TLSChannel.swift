import HummingbirdCore
import Logging
import NIOCore
import NIOSSL

/// HTTP/1.1 inside of TLS, each connection with the certificate of its moment. What does not speak TLS is closed.
struct TLSChannel: ServerChildChannel {
    let base: HTTP1Channel
    let files: TLSFiles

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: files.context))
        }.flatMap { base.setup(channel: channel, logger: logger) }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await base.handle(value: value, logger: logger)
    }
}
