import Dispatch
import Foundation
import Glibc

/// Removes a temporary folder when the process is ended by a signal.
///
/// For commands that do not listen to signals otherwise: it takes SIGTERM, SIGINT and SIGHUP for itself until then.
final class RemovalAtSignal {
    private static let signals = [SIGTERM, SIGINT, SIGHUP]

    private let sources: [any DispatchSourceSignal]

    init(_ folder: URL) {
        sources = Self.signals.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                try? FileManager.default.removeItem(at: folder)
                // As the shell has it for a process that a signal ended.
                exit(128 + number)
            }
            source.activate()
            return source
        }
    }

    /// Leaves signals to others again; the folder is then its owner's to remove.
    func release() {
        for (source, number) in zip(sources, Self.signals) {
            source.cancel()
            signal(number, SIG_DFL)
        }
    }
}
