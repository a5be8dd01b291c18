import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle

/// The HTTP API as a service: `Application` with limits on what clients may hold on to.
///
/// - Parameters:
///   - tls: nil: it speaks in the clear.
///   - onRunning: Told the port once it listens.
public func managementServer(
    _ services: ManagementServices, host: String, port: Int, limits: ConnectionLimits, tls: TLSFiles? = nil,
    logger: Logger,
    onRunning: @escaping @Sendable (_ port: Int) -> Void
) -> some Service {
    let connections = Connections(maximum: limits.maximumConnections)
    let configuration = HTTP1Channel.Configuration(
        additionalChannelHandlers: [
            ConnectionHandler(connections: connections, limits: limits), UnreadableHeadHandler(),
        ])
    let builder =
        tls.map { files in
            HTTPServerBuilder {
                TLSChannel(base: HTTP1Channel(responder: $0, configuration: configuration), files: files)
            }
        } ?? .http1(configuration: configuration)
    let server = Application(
        responder: APIResponder(endpoints: allEndpoints(), services: services),
        server: builder,
        configuration: ApplicationConfiguration(
            address: .hostname(host, port: port), serverName: "ml-service"),
        onServerRunning: { channel in
            // The listening channel's pipeline can be had here alone.
            try? await channel.eventLoop.submit {
                let handler = AcceptHandler(connections: connections, logger: logger)
                try channel.pipeline.syncOperations.addHandler(handler, position: .first)
            }.get()
            onRunning(channel.localAddress?.port ?? 0)
        }, logger: logger)
    return ListeningService(server: server, place: "\(host):\(port)")
}

/// Says at which address a server could not listen, which the system's error does not.
private struct ListeningService<Server: Service>: Service {
    let server: Server
    let place: String

    func run() async throws {
        do {
            try await server.run()
        } catch let error as IOError where [EADDRINUSE, EADDRNOTAVAIL, EACCES].contains(error.errnoCode) {
            throw ListenError(place: place, code: error.errnoCode)
        } catch is SocketAddressError.UnknownHost {
            throw ListenError(unknownHostOf: place)
        }
    }
}

/// The API has no address to be reached at.
public struct ListenError: Error, CustomStringConvertible {
    public let description: String

    init(place: String, code: Int32) {
        let (why, remedy) =
            switch code {
            case EADDRINUSE: ("another process listens there", "end that one, or choose another http.port")
            case EACCES: ("this user may not", "choose an http.port above 1023")
            default: ("it is no address of this machine", "choose another http.host")
            }
        description = "cannot listen at \(place): \(why); \(remedy)"
    }

    init(unknownHostOf place: String) {
        description =
            "cannot listen at \(place): no address is known by that name; choose an http.host that is an address of this machine, or a name of it"
    }
}
