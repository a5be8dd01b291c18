import NIOPosix
import Plugins
import ServiceLifecycle

/// Looks for new plugins now and then, so that a library that is copied into a plugin folder is loaded.
struct PluginWatch: Service {
    let registry: DetectorRegistry
    let interval: Duration
    let threads: NIOThreadPool

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while true {
                try await Task.sleep(for: interval)
                _ = try await threads.runIfActive { registry.rescan() }
            }
        }
    }
}
