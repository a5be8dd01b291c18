import Logging
import Redis
import Training

extension Parts {
    /// Training jobs: in the Redis that is named, for all machines; else in SQLite.
    ///
    /// Jobs that wait in SQLite when a Redis is named for the first time move there, under new ids.
    static func jobStore(
        _ settings: Settings, _ data: DataDirectory, logger: Logger
    ) throws -> any JobStore {
        let limits = JobLimits(
            waiting: settings.integer("training.waiting"), anHour: settings.integer("training.hourly"),
            keptDays: settings.integer("training.keepdays"))
        let local = try SQLiteJobStore(path: data.file("jobs.sqlite"), limits: limits)
        for reason in local.setAside {
            logger.error("a training job's record was set aside", metadata: ["reason": "\(reason)"])
        }
        guard let url = settings.optionalText("redis.url") else { return local }
        let shared = RedisJobStore(
            connection: RedisConnection(address: try redisAddress(url, settings)),
            prefix: settings.text("redis.prefix"), limits: limits)
        do {
            for job in try local.jobs(limit: JobBounds.maximumQueued).reversed() where !job.state.isFinal {
                let moved = try shared.submit(job.request, key: "moved \(job.id)")
                try local.cancel(id: job.id)
                logger.notice(
                    "a training job moves to Redis", metadata: ["job": "\(job.id)", "as": "\(moved.id)"])
            }
        } catch {
            // They stay where they are until the next start.
            logger.warning(
                "training jobs of this machine do not move to Redis", metadata: ["reason": "\(error)"])
        }
        return shared
    }
}
