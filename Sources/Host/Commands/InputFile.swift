import Foundation

/// A file that a command is given by name.
enum InputFile {
    /// All of it, or of standard input where the name is `-`.
    ///
    /// - Parameter limit: No more than so many bytes, where there is one.
    static func read(_ path: String, limit: Int? = nil) throws(UsageError) -> Data {
        do {
            let handle = path == "-" ? .standardInput : try FileHandle(forReadingFrom: URL(filePath: path))
            guard let limit else { return try handle.readToEnd() ?? Data() }
            return try handle.read(upToCount: limit) ?? Data()
        } catch {
            throw UsageError("\(path) cannot be read: \(reason(error))")
        }
    }

    /// What the system said; Foundation's own words name neither file nor reason.
    private static func reason(_ error: any Error) -> String {
        let cause = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
        guard let cause, cause.domain == NSPOSIXErrorDomain else { return error.localizedDescription }
        return String(cString: strerror(Int32(clamping: cause.code)))
    }
}
