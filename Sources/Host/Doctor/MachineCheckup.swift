import Foundation
import Glibc

/// Tries what the process has of this machine: its data directory and its file handles.
struct MachineCheckup {
    let dataDirectory: String

    private static let leastHandles: UInt = 4_096
    private static let leastFreeBytes = 1 << 30

    func findings() -> [Finding] { [handles(), directory(), space()] }

    private func handles() -> Finding {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let isEnough = limit.rlim_cur >= Self.leastHandles
        return Finding(
            "machine", "file handles", isEnough ? .good : .warning, "\(limit.rlim_cur) at most",
            advice: isEnough
                ? "" : "raise the limit to \(Self.leastHandles) or more (ulimit -n, LimitNOFILE=)")
    }

    private func directory() -> Finding {
        let probe = dataDirectory + "/doctor-\(UUID().uuidString)"
        do {
            try FileManager.default.createDirectory(atPath: dataDirectory, withIntermediateDirectories: true)
            try Data("doctor".utf8).write(to: URL(filePath: probe))
            try FileManager.default.removeItem(atPath: probe)
            return Finding("machine", "data directory", .good, "\(dataDirectory) can be written")
        } catch {
            return Finding(
                "machine", "data directory", .bad, "\(dataDirectory): \(error.localizedDescription)",
                advice: "let this user write there, or name another folder (data.directory)")
        }
    }

    private func space() -> Finding {
        var statistics = statvfs()
        guard statvfs(dataDirectory, &statistics) == 0 else {
            return Finding("machine", "disk", .warning, String(cString: strerror(errno)))
        }
        let free = Int(clamping: statistics.f_bavail).multipliedReportingOverflow(
            by: Int(clamping: statistics.f_frsize))
        let bytes = free.overflow ? Int.max : free.partialValue
        let isEnough = bytes >= Self.leastFreeBytes
        return Finding(
            "machine", "disk", isEnough ? .good : .warning, "\(bytes >> 20) MiB free",
            advice: isEnough ? "" : "make room: the model cache alone may take models.cache bytes")
    }
}
