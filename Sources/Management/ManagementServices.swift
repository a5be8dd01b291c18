import Models
import NIOPosix
import Plugins
import Serving
import Training

/// The use cases that the routes call.
public struct ManagementServices: Sendable {
    public let jobs: JobStore
    public let registry: DetectorRegistry
    public let models: ModelStore
    public let catalogue: Catalogue
    public let promotion: Promotion
    /// nil: this process does not serve.
    public let serving: ServingStatus?
    /// Removes a user's window and gives how many stored items that were; nil: this process cannot reach any.
    public let removeWindow: (@Sendable (String) throws -> Int)?
    public let metrics: PrometheusRegistry
    public let adminKey: AdminKey
    /// Where calls that block run.
    public let threads: NIOThreadPool

    public init(
        jobs: JobStore, registry: DetectorRegistry, models: ModelStore, catalogue: Catalogue,
        promotion: Promotion, serving: ServingStatus?, removeWindow: (@Sendable (String) throws -> Int)?,
        metrics: PrometheusRegistry, adminKey: AdminKey, threads: NIOThreadPool
    ) {
        self.jobs = jobs
        self.registry = registry
        self.models = models
        self.catalogue = catalogue
        self.promotion = promotion
        self.serving = serving
        self.removeWindow = removeWindow
        self.metrics = metrics
        self.adminKey = adminKey
        self.threads = threads
    }

    func blocking<Result: Sendable>(_ call: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await threads.runIfActive(call)
    }
}
