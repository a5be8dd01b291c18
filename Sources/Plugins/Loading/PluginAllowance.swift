import Glibc

/// Which libraries of the plugin folders may be loaded.
public struct PluginAllowance: Sendable {
    /// nil: whatever lies there.
    private let hashes: Set<String>?

    public static let any = PluginAllowance(hashes: nil)

    private init(hashes: Set<String>?) { self.hashes = hashes }

    /// - Parameter text: SHA-256 of libraries, hexadecimal, with spaces, commas or line ends between, as `sha256sum` writes them
    ///   (names behind them are passed over); empty: whatever lies there.
    /// - Returns: nil: a word of 64 letters or digits is no SHA-256, or there is none.
    public init?(parsing text: String) {
        let words = text.split { $0.isWhitespace || $0 == "," }
        guard !words.isEmpty else {
            hashes = nil
            return
        }
        let found = words.filter { $0.count == 64 }.map { $0.lowercased() }
        guard !found.isEmpty, found.allSatisfy({ $0.allSatisfy(\.isHexDigit) }) else { return nil }
        hashes = Set(found)
    }

    /// Why a library is not to be loaded; nil: it may be.
    func refusal(of file: PluginFile) -> String? {
        if let hashes, !hashes.contains(file.sha256) {
            return "its SHA-256 \(file.sha256) is not among plugins.allowed"
        }
        return Self.strangers(path: file.path)
    }

    /// Who besides root and this process's user may change what lies at a path; nil: nobody, or nothing lies there.
    static func strangers(path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        if status.st_uid != 0, status.st_uid != geteuid() {
            return
                "it belongs to user \(status.st_uid), who could put something else there: chown it to root, or to the "
                + "user of the service"
        }
        // A folder in which everybody removes only their own things is as good, but everybody may add to it.
        guard status.st_mode & S_IWOTH == 0 else { return "everybody may write to it: chmod o-w" }
        return nil
    }
}
