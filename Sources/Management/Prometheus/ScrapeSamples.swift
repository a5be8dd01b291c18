import Foundation
import Glibc
import Metrics
import Serving
import Training

/// What is looked up when metrics are asked for, as nobody counts it as it happens.
struct ScrapeSamples {
    private let registry: PrometheusRegistry

    init(_ registry: PrometheusRegistry) { self.registry = registry }

    /// Blocks: it asks the job store.
    func take(_ services: ManagementServices) {
        set("ml_ready", ReadinessView(services).ready ? 1 : 0)
        if let jobs = try? services.jobs.jobs(limit: 1_000) { take(jobs) }
        process()
    }

    private func take(_ jobs: [TrainingJob]) {
        set("ml_training_jobs_waiting", Double(jobs.count { $0.state == .queued }))
        let running = jobs.filter { $0.state == .running }
        for stage in TrainingStage.allCases {
            set(
                "ml_training_jobs_running", Double(running.count { $0.stage == stage }),
                [("stage", stage.rawValue)])
        }
    }

    private func process() {
        var usage = rusage()
        if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
            let times = [usage.ru_utime, usage.ru_stime]
            let seconds = times.reduce(0.0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
            let counter = registry.makeFloatingPointCounter(
                label: "process_cpu_seconds_total", dimensions: [])
            counter.reset()
            counter.increment(by: seconds)
        }
        let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?
            .split(separator: " ").dropFirst().first.flatMap { Double($0) }
        if let pages { set("process_resident_memory_bytes", pages * Double(sysconf(CInt(_SC_PAGESIZE)))) }
        if let handles = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
            set("process_open_fds", Double(handles))
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            set("process_max_fds", Double(limit.rlim_cur))
        }
        if let start = Self.start { set("process_start_time_seconds", start) }
    }

    /// Seconds since 1970; nil: the kernel does not say.
    private static let start: Double? = {
        // The fields behind the name, which may hold spaces, begin with the third.
        guard let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
            let fields = stat.split(separator: ")").last?.split(separator: " "), fields.count > 19,
            let ticks = Double(fields[19]),
            let boot = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8))?.split(separator: "\n")
                .first(where: { $0.hasPrefix("btime ") }).flatMap({ Double($0.dropFirst(6)) })
        else { return nil }
        return boot + ticks / Double(sysconf(CInt(_SC_CLK_TCK)))
    }()

    private func set(_ name: String, _ value: Double, _ dimensions: [(String, String)] = []) {
        registry.makeMeter(label: name, dimensions: dimensions).set(value)
    }
}
