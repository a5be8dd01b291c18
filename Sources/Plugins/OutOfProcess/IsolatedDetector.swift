import DetectorAPI
import Foundation
import Glibc
import Synchronization

/// The process that a detector runs in has ended, or is not started again yet. The model may be as good as ever.
public struct DetectorAway: Error, Sendable, CustomStringConvertible {
    public let description: String
    /// It ended in this very call, with the rows of this call.
    public let hasJustEnded: Bool
}

/// A detector that runs in processes of its own: what crashes there crashes nothing here. It does not learn row by row.
///
/// Fitting has a process to itself, scoring another; one that crashed is started again after a while, longer each time.
final class IsolatedDetector: Detector {
    /// A model that has ended its process so often, one time after another, is not tried again.
    static let maximumCrashes = 3

    let info: DetectorInfo
    /// Of its processes, which all begin alike.
    let confinement: Confinement
    private let processes: DetectorProcesses

    /// Starts a process and asks it what it is.
    ///
    /// - Throws: `DetectorAway`, `DetectorError`, `IsolationFault`.
    init(_ isolation: PluginIsolation, library: PrivateCopy) throws {
        let processes = DetectorProcesses(isolation, library: library)
        (info, confinement) = try processes.call { process in
            let reply = try process.call(IsolationMessage(.describe))
            let json = Data(try process.region.read(min(reply.a, 16 << 20)))
            do {
                return (
                    try JSONDecoder().decode(IsolatedDescription.self, from: json).info(),
                    Confinement(files: reply.b, calls: reply.c)
                )
            } catch let error as DecodingError {
                throw IsolationFault("it does not describe itself: \(error)")
            }
        }
        self.processes = processes
    }

    func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext) throws
        -> any DetectorModel
    {
        let json = [UInt8](try JSONEncoder().encode(IsolatedContext(context)))
        let layout = SharedLayout.Fit(context: json.count, rows: rows.count, columns: rows.columns)
        let artifact = try processes.call { process in
            try process.region.require(layout.size)
            try json.withUnsafeBytes { try process.region.write($0) }
            try process.region.write(UnsafeRawBufferPointer(rows.values), at: layout.values)
            if let labels { try process.region.write(UnsafeRawBufferPointer(labels), at: layout.labels) }
            let request = IsolationMessage(
                .fit, UInt64(json.count), UInt64(rows.count), UInt64(rows.columns), labels == nil ? 0 : 1)
            let reply = try process.call(request, fitting: context)
            return try process.region.read(reply.a, at: reply.b)
        }
        return try decode(ArtifactBytes(copying: artifact))
    }

    func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
        let id = processes.newModelID()
        let facts = try processes.call { process -> (columns: Int, explains: Bool, expected: Double) in
            guard let reply = try process.load(id, artifact), (1...1 << 20).contains(reply.a) else {
                throw IsolationFault("its model has no columns")
            }
            return (Int(reply.a), reply.b != 0, Double(bitPattern: reply.c))
        }
        return facts.explains
            ? ExplainingIsolatedModel(id, artifact, facts.columns, facts.expected, processes)
            : IsolatedModel(id, artifact, facts.columns, facts.expected, processes)
    }
}

/// A model whose detector runs elsewhere.
class IsolatedModel: DetectorModel, @unchecked Sendable {  // immutable but for a mutex
    let columns: Int
    let expectedScore: Double
    private let id: UInt64
    private let artifact: ArtifactBytes
    private let processes: DetectorProcesses
    private let crashes = Mutex(0)

    fileprivate init(
        _ id: UInt64, _ artifact: ArtifactBytes, _ columns: Int, _ expectedScore: Double,
        _ processes: DetectorProcesses
    ) {
        (self.id, self.artifact, self.columns) = (id, artifact, columns)
        (self.expectedScore, self.processes) = (expectedScore, processes)
    }

    func encode() -> [UInt8] { [UInt8](artifact.bytes) }

    func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
        try run(rows, into: scores, contributions: nil)
    }

    /// - Throws: `DetectorAway`, `DetectorError`.
    fileprivate func run(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>?
    ) throws {
        guard crashes.withLock({ $0 }) < IsolatedDetector.maximumCrashes else {
            throw DetectorError.invalidInput(
                "it has ended its process \(IsolatedDetector.maximumCrashes) times")
        }
        let layout = SharedLayout.Batch(
            rows: rows.count, columns: rows.columns, isExplained: contributions != nil)
        try processes.call(
            countingCrashes: { self.crashes.withLock { $0 += 1 } },
            { process in
                try process.load(id, artifact)
                try process.region.require(layout.size)
                try process.region.write(UnsafeRawBufferPointer(rows.values), at: layout.values)
                let kind: IsolationMessage.Kind = contributions == nil ? .score : .explain
                _ = try process.call(
                    IsolationMessage(kind, model: id, UInt64(rows.count), UInt64(rows.columns)))
                process.region.copy(at: layout.scores, into: scores, count: rows.count)
                if let contributions {
                    process.region.copy(
                        at: layout.contributions, into: contributions, count: rows.count * rows.columns)
                }
            })
        crashes.withLock { $0 = 0 }
    }
}

// Adds no state.
final class ExplainingIsolatedModel: IsolatedModel, Explaining, @unchecked Sendable {
    func explain(
        _ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>,
        contributions: UnsafeMutableBufferPointer<Double>
    ) throws {
        try run(rows, into: scores, contributions: contributions)
    }
}

extension SharedRegion {
    fileprivate func copy(at offset: Int, into target: UnsafeMutableBufferPointer<Double>, count: Int) {
        let source = UnsafeRawBufferPointer(
            rebasing: bytes[offset..<offset + count * MemoryLayout<Double>.stride])
        UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
    }
}

/// The processes of one detector. Thread-safe: each call has one to itself.
private final class DetectorProcesses: Sendable {
    /// Processes that wait for work.
    private static let maximumIdle = 4
    private static let longestPause = Duration.seconds(30)

    private struct State {
        // Handed to one thread at a time.
        nonisolated(unsafe) var idle: [DetectorProcess] = []
        var crashCount = 0
        var startsAgain = ContinuousClock.now
        var lastReason = ""
        var lastModelID: UInt64 = 0
    }

    private let isolation: PluginIsolation
    /// Lives as long as a process may have to be started with it.
    private let library: PrivateCopy
    private let state = Mutex(State())

    init(_ isolation: PluginIsolation, library: PrivateCopy) {
        self.isolation = isolation
        self.library = library
    }

    func newModelID() -> UInt64 {
        state.withLock { state in
            state.lastModelID += 1
            return state.lastModelID
        }
    }

    /// - Parameter countingCrashes: Told when the process ended in this call.
    /// - Throws: `DetectorAway` when the process ended, or has ended and is not to be started yet; what `body` throws.
    func call<R>(countingCrashes: () -> Void = {}, _ body: (DetectorProcess) throws -> R) throws -> R {
        let process = try take()
        do {
            let result = try body(process)
            state.withLock { $0.crashCount = 0 }
            putBack(process)
            return result
        } catch let fault as IsolationFault {
            process.end()
            countingCrashes()
            let pause = crashed(fault.description)
            throw DetectorAway(
                description: "\(fault); it is started again after \(pause)", hasJustEnded: true)
        } catch DetectorError.cancelled {
            process.end()
            throw DetectorError.cancelled
        } catch {
            putBack(process)
            throw error
        }
    }

    private func take() throws -> DetectorProcess {
        let idle = try state.withLock { state -> DetectorProcess? in
            if let process = state.idle.popLast() { return process }
            guard ContinuousClock.now >= state.startsAgain else {
                throw DetectorAway(
                    description: "\(state.lastReason); it is not started again yet", hasJustEnded: false)
            }
            return nil
        }
        if let idle { return idle }
        do {
            return try DetectorProcess(isolation, library: library.path)
        } catch {
            _ = crashed("\(error)")
            throw DetectorAway(description: "\(error)", hasJustEnded: true)
        }
    }

    private func putBack(_ process: DetectorProcess) {
        nonisolated(unsafe) let process = process
        state.withLock { state in
            if state.idle.count < Self.maximumIdle { state.idle.append(process) }
        }
    }

    private func crashed(_ reason: String) -> Duration {
        state.withLock { state in
            let pause = min(Duration.milliseconds(100) * (1 << min(state.crashCount, 10)), Self.longestPause)
            state.crashCount += 1
            state.startsAgain = ContinuousClock.now + pause
            state.lastReason = reason
            return pause
        }
    }
}
