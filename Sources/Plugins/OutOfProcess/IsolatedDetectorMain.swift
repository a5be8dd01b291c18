import CProcess
import DetectorAPI
import Foundation
import Glibc

/// The detector process's work: loads the library that the first argument names and answers the host, which is at
/// standard input, until that is gone. What the plugin prints goes to standard error.
///
/// - Parameter arguments: The library and its limit of address space in MiB, as `PluginIsolation` gives them; a third one,
///   which this gives itself, once the process has begun anew with its files confined.
/// - Returns: The status to exit with: 0, or 64 for arguments that `PluginIsolation` did not make.
public func runIsolatedDetector(arguments: [String]) -> Int32 {
    guard arguments.count == 2 || arguments.count == 3, let memory = UInt64(arguments[1]) else { return 64 }
    guard arguments.count == 3 else {
        // Only where it fails is anything behind this reached.
        let failure = Confinement.beginConfined(library: arguments[0], arguments: CommandLine.arguments)
        return runIsolatedDetector(arguments: arguments + ["\(failure)"])
    }
    process_limit_memory(memory << 20)
    let confinement = Confinement(filesFailure: Int32(arguments[2]) ?? EINVAL)
    // A detector that loops for ever does not outlive its host.
    guard process_end_with_peer(STDIN_FILENO) == 0 else { return 1 }
    var server = IsolationServer(library: arguments[0], confinement: confinement)
    server.run()
    return 0
}

/// Answers calls one after another.
private struct IsolationServer {
    private let library: String
    private let confinement: Confinement
    private let socket = STDIN_FILENO
    private let region = SharedRegion(descriptor: STDERR_FILENO + 1)
    private var detector: (any Detector)?
    private var models: [UInt64: any DetectorModel] = [:]
    private var order: [UInt64] = []

    init(library: String, confinement: Confinement) {
        self.library = library
        self.confinement = confinement
    }

    mutating func run() {
        while let request = IsolationMessage.receive(from: socket) {
            let reply: IsolationMessage
            do {
                reply = try answer(request)
            } catch {
                reply = failed(error)
            }
            guard reply.send(to: socket) else { return }
        }
    }

    private func failed(_ error: any Error) -> IsolationMessage {
        let text = Array(IsolatedFailure.text(error).utf8.prefix(4_096))
        let isWritten = (try? text.withUnsafeBytes { try region.write($0) }) != nil
        return IsolationMessage(.failed, IsolatedFailure(error).rawValue, isWritten ? UInt64(text.count) : 0)
    }

    private mutating func answer(_ request: IsolationMessage) throws -> IsolationMessage {
        let detector = try loaded()
        switch IsolationMessage.Kind(rawValue: request.kind) {
        case .describe:
            let encoder = JSONEncoder()
            encoder.nonConformingFloatEncodingStrategy = .throw
            let json = [UInt8](try encoder.encode(IsolatedDescription(detector.info)))
            try json.withUnsafeBytes { try region.write($0) }
            let (files, calls) = confinement.words
            return IsolationMessage(.done, UInt64(json.count), files, calls)
        case .decode: return try decode(request, detector)
        case .score, .explain: return try score(request)
        case .fit: return try fit(request, detector)
        default: throw IsolationFault("the host asks for \(request.kind), which is not known")
        }
    }

    private mutating func loaded() throws -> any Detector {
        if let detector { return detector }
        let stamp = try PluginFile(path: library).checkedStamp()
        let opened = try PluginLibrary.open(library, name: library, stamp: stamp)
        detector = opened
        return opened
    }

    private mutating func decode(_ request: IsolationMessage, _ detector: any Detector) throws
        -> IsolationMessage
    {
        let model = try detector.decode(ArtifactBytes(copying: try region.read(request.a)))
        models[request.model] = model
        order.append(request.model)
        if order.count > DetectorProcess.maximumModels { models[order.removeFirst()] = nil }
        let expected = (model as? any Explaining)?.expectedScore
        return IsolationMessage(
            .done, UInt64(model.columns), expected == nil ? 0 : 1, (expected ?? 0).bitPattern)
    }

    private func score(_ request: IsolationMessage) throws -> IsolationMessage {
        guard let model = models[request.model] else { throw IsolationFault("the model is not decoded here") }
        let (rows, columns) = (Int(request.a), Int(request.b))
        let isExplained = request.kind == IsolationMessage.Kind.explain.rawValue
        let layout = SharedLayout.Batch(rows: rows, columns: columns, isExplained: isExplained)
        try region.require(layout.size)
        let values = FeatureRows(
            region.values(Float.self, at: layout.values, rows * columns), columns: columns)
        let scores = region.places(at: layout.scores, rows)
        guard isExplained else {
            try model.score(values, into: scores)
            return IsolationMessage(.done)
        }
        guard let model = model as? any Explaining else { throw IsolationFault("the model does not explain") }
        try model.explain(
            values, into: scores, contributions: region.places(at: layout.contributions, rows * columns))
        return IsolationMessage(.done)
    }

    private func fit(_ request: IsolationMessage, _ detector: any Detector) throws -> IsolationMessage {
        let (json, rows, columns) = (Int(request.a), Int(request.b), Int(request.c))
        let layout = SharedLayout.Fit(context: json, rows: rows, columns: columns)
        try region.require(layout.size)
        let told = try JSONDecoder().decode(IsolatedContext.self, from: Data(try region.read(request.a)))
        let context = try told.context(for: detector.info) { [socket] part in
            _ = IsolationMessage(.progress, part.bitPattern).send(to: socket)
        }
        let labels = request.d == 0 ? nil : region.values(Int8.self, at: layout.labels, rows)
        let values = FeatureRows(
            region.values(Float.self, at: layout.values, rows * columns), columns: columns)
        let artifact = try detector.fit(values, labels: labels, context: context).encode()
        try artifact.withUnsafeBytes { try region.write($0) }
        return IsolationMessage(.done, UInt64(artifact.count), 0)
    }
}

extension SharedRegion {
    fileprivate func values<T>(_ type: T.Type, at offset: Int, _ count: Int) -> UnsafeBufferPointer<T> {
        UnsafeBufferPointer(places(type, at: offset, count))
    }

    fileprivate func places(at offset: Int, _ count: Int) -> UnsafeMutableBufferPointer<Double> {
        places(Double.self, at: offset, count)
    }

    private func places<T>(_ type: T.Type, at offset: Int, _ count: Int) -> UnsafeMutableBufferPointer<T> {
        UnsafeMutableRawBufferPointer(
            rebasing: bytes[offset..<offset + count * MemoryLayout<T>.stride]
        ).bindMemory(to: type)
    }
}
