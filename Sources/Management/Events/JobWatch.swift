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
                guard let since = hub.listeningSince else {
                    known = nil
                    continue
                }
                guard let found = try? await threads.runIfActive({ try jobs.jobs(limit: 100) }) else {
                    continue
                }
                for job in Self.news(found, known: known, since: since) { hub.note(job) }
                known = Dictionary(found.map { ($0.id, $0) }) { first, _ in first }
            }
        }
    }

    /// What listeners have not heard of, oldest first.
    ///
    /// - Parameters:
    ///   - found: Newest first.
    ///   - known: As they were at the last look; nil: at the first one news is what has changed since somebody listens,
    ///     a job that began and ended before that look among it.
    ///   - since: Milliseconds since 1970 from which on somebody has listened.
    static func news(_ found: [TrainingJob], known: [String: TrainingJob]?, since: Int64) -> [TrainingJob] {
        found.reversed().filter { job in
            guard let known else { return job.updatedMilliseconds >= since }
            return isNews(job, known[job.id])
        }
    }

    /// Progress is told in steps of a twentieth.
    private static func isNews(_ job: TrainingJob, _ known: TrainingJob?) -> Bool {
        guard let known else { return true }
        return job.state != known.state || job.stage != known.stage || job.error != known.error
            || (job.progress * 20).rounded(.down) != (known.progress * 20).rounded(.down)
    }
}
