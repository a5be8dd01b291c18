import Foundation
import Lake
import Logging
import Metrics
import ObjectStore
import Retrying

/// Builds the tables that serving follows, at every boundary of so many hours, as long as the lake has labels.
///
/// Several processes may do so: the same lake gives the same table, which is written once.
public final class ReferenceSchedule: Sendable {
    private let refresh: ReferenceRefresh
    private let labels: LabelFiles
    private let hours: Int64
    private let logger: Logger
    private let stopping = StopSignal()

    /// Labels and transactions of the last hour come a little late.
    private static let graceMilliseconds: Int64 = 2 * 60_000

    /// - Parameter hours: Between two tables, at least 1.
    public init(refresh: ReferenceRefresh, lake: any ObjectStore, hours: Int, logger: Logger) {
        self.refresh = refresh
        labels = LabelFiles(lake: lake)
        self.hours = Int64(max(hours, 1))
        self.logger = logger
    }

    public func stop() { stopping.give() }

    /// Blocks until `stop` is called.
    public func run() {
        var done: Int64?
        stopping.untilGiven(every: .milliseconds(200)) {
            let now = Int64(Date().timeIntervalSince1970 * 1_000) - Self.graceMilliseconds
            let due = now / (hours * 3_600_000)
            if done != due {
                done = due
                build(asOf: due * hours * 3_600_000)
            }
        }
    }

    private func build(asOf: Int64) {
        do {
            guard try !labels.files(in: LabelFiles.allDays).isEmpty else { return }
            let summary = try refresh.run(asOf: asOf, isCancelled: { [stopping] in stopping.isGiven })
            Counter(label: "ml_reference_refreshes_total", dimensions: [("outcome", "succeeded")]).increment()
            logger.info(
                "references were built",
                metadata: ["version": "\(summary.version)", "entries": "\(summary.entries)"])
            for reason in summary.skipped {
                logger.warning(
                    "references were built without a file; the next table takes it in once it can be read",
                    metadata: ["reason": "\(reason)"])
            }
            for reason in summary.passedOver {
                logger.warning(
                    "references were built without rows that are no transactions",
                    metadata: ["reason": "\(reason)"])
            }
        } catch ReferenceError.cancelled, LakeError.cancelled {
        } catch {
            Counter(label: "ml_reference_refreshes_total", dimensions: [("outcome", "failed")]).increment()
            logger.warning(
                "references could not be built; the next hour tries again", metadata: ["reason": "\(error)"])
        }
    }
}
