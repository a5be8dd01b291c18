import Foundation

/// What a proof did, and how soon the stream moved again.
struct ProveReport {
    private(set) var recoveries: [Disturbance: [Double]] = [:]
    private(set) var remarks: [String] = []

    mutating func add(_ disturbance: Disturbance, recoverySeconds: Double) {
        recoveries[disturbance, default: []].append(recoverySeconds)
    }

    mutating func remark(_ text: String) { remarks.append(text) }

    /// Median and worst are nearest ranks.
    var table: String {
        let rows = Disturbance.allCases.compactMap { disturbance -> [String]? in
            guard let times = recoveries[disturbance]?.sorted(), let worst = times.last else { return nil }
            return [
                disturbance.rawValue, "\(times.count)", Self.seconds(times[(times.count - 1) / 2]),
                Self.seconds(worst),
            ]
        }
        return textTable(["what was done", "times", "recovery p50", "worst"], rows)
    }

    static func seconds(_ seconds: Double) -> String { String(format: "%.1f s", seconds) }
}
