import NIOPosix
import ServiceLifecycle
import Training

/// Tells listeners how training jobs come along: asks the job store once a second while somebody listens.
public struct JobWatch: Service {
    private let jobs: any JobStore
    private let hub: EventHub
    private let threads: NIOThreadPool

    public init(jobs: any JobStore, hub: EventHub, threads: NIOThreadPool) {
        self.jobs = jobs
        self.hub = hub
        self.threads = threads
    }

    public func run() async throws {
        try? await cancelWhenGracefulShutdown {
            var known: [String: TrainingJob]?
            while true {
                try await Task.sleep(for: .seconds(1))
                guard hub.hasListeners else {
                    known = nil
                    continue
                }
                guard let found = try? await threads.runIfActive({ try jobs.jobs(limit: 100) }) else {
                    continue
                }
                let before = known
                for job in found.reversed() where before != nil && Self.isNews(job, before?[job.id]) {
                    hub.note(job)
                }
                known = Dictionary(found.map { ($0.id, $0) }) { first, _ in first }
            }
        }
    }

    /// Progress is told in steps of a twentieth.
    static func isNews(_ job: TrainingJob, _ known: TrainingJob?) -> Bool {
        guard let known else { return true }
        return job.state != known.state || job.stage != known.stage || job.error != known.error
            || (job.progress * 20).rounded(.down) != (known.progress * 20).rounded(.down)
    }
}
