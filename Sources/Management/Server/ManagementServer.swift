import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle

/// The HTTP API as a service: `Application` with limits on what clients may hold on to.
///
/// - Parameter onRunning: Told the port once it listens.
public func managementServer(
    _ services: ManagementServices, address: BindAddress, limits: ConnectionLimits, logger: Logger,
    onRunning: @escaping @Sendable (_ port: Int) -> Void
) -> some Service {
    let connections = Connections(maximum: limits.maximumConnections)
    return Application(
        responder: APIResponder(endpoints: allEndpoints(), services: services),
        server: .http1(
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [ConnectionHandler(connections: connections, limits: limits)])),
        configuration: ApplicationConfiguration(address: address, serverName: "ml-service"),
        onServerRunning: { channel in
            // The listening channel's pipeline can be had here alone.
            try? await channel.eventLoop.submit {
                let handler = AcceptHandler(connections: connections, logger: logger)
                try channel.pipeline.syncOperations.addHandler(handler, position: .first)
            }.get()
            onRunning(channel.localAddress?.port ?? 0)
        }, logger: logger)
}
