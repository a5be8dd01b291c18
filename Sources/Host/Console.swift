import Foundation
import Glibc
import Synchronization

/// What a person sees of long work: a bar on a terminal, lines when piped. On standard error, so that results
/// on standard output stay clean. Thread-safe.
final class ProgressDisplay: Sendable {
    private struct State {
        var stage = ""
        var drawn = ContinuousClock.now - .seconds(10)
        var isOnLine = false
    }

    private let state = Mutex(State())
    private let isTerminal = isatty(STDERR_FILENO) == 1

    /// - Parameter fraction: 0 to 1.
    func show(stage: String, fraction: Double) {
        state.withLock { state in
            let now = ContinuousClock.now
            let isNewStage = state.stage != stage
            let interval: Duration = isTerminal ? .milliseconds(100) : .seconds(5)
            guard isNewStage || now - state.drawn > interval else { return }
            state.drawn = now
            state.stage = stage
            let percent = fraction.isNaN ? 0 : Int((min(max(fraction, 0), 1) * 100).rounded())
            if isTerminal {
                let filled = percent * 30 / 100
                let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
                write("\r\u{1B}[K\(bar) \(percent) %  \(printable(stage))")
                state.isOnLine = true
            } else {
                write("\(printable(stage)): \(percent) %\n")
            }
        }
    }

    func finish() {
        state.withLock { state in
            if state.isOnLine { write("\r\u{1B}[K") }
            state.isOnLine = false
        }
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}

/// Prints a result as JSON for `--json`.
func printJSON(_ value: some Encodable) throws { print(try jsonText(value)) }

/// Indented, with sorted keys in the API's spelling. A number that JSON does not have is a text: `"inf"`, `"-inf"`, `"nan"`.
func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

/// A table for people: columns as wide as their widest cell.
func textTable(_ header: [String], _ rows: [[String]]) -> String {
    let rows = rows.map { $0.map(printable) }
    let widths = header.indices.map { column in
        ([header] + rows).map { $0[column].count }.max() ?? 0
    }
    return ([header] + rows).map { row in
        zip(row, widths).map { cell, width in cell.padding(toLength: width, withPad: " ", startingAt: 0) }
            .joined(separator: "  ").trimmingTrailingBlanks
    }.joined(separator: "\n")
}

extension String {
    fileprivate var trimmingTrailingBlanks: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
