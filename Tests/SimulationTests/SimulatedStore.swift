import BatchProtocol
import Features

/// What the simulated store holds for a user. The window is kept as its real bytes.
struct SimulatedBlob {
    var token: Int
    var place: BlobPlace
    var base: [UInt8]
    /// With their offsets in the blob's partition.
    var pending: [(offset: Int64, event: WindowEvent)]
    /// Its window lacks records, whatever its partition says.
    var lacksRecords = false
    var isDamaged = false
}

/// What the simulated store holds for a partition.
struct SimulatedWatermark {
    var token: Int
    var watermark: Watermark
}

/// What one batch's write asks for.
struct SimulatedWrites {
    /// Each with the token that was read; nil: there was no blob.
    var blobs: [(user: Int, expected: Int?, blob: SimulatedBlob)] = []
    var watermarks: [(partition: Int32, expected: Int?, watermark: SimulatedWatermark)] = []
    /// How far the store's windows reach with it: for the oracle alone.
    var ends: [(partition: Int32, end: Int64)] = []
    /// One request: sent again by a network, it is still the same writing.
    var request = 0
}

/// Redis: comparing and setting in one step; it may forget its last writes, or everything.
final class SimulatedStore: WindowWorld {
    private(set) var blobs: [Int: SimulatedBlob] = [:]
    private(set) var watermarks: [Int32: SimulatedWatermark] = [:]
    /// For each write, how to undo it.
    private var history: [([(Int, SimulatedBlob?)], [(Int32, SimulatedWatermark?)], [Int32: Int64])] = []
    /// How far the windows of each partition reach in truth.
    private(set) var ends: [Int32: Int64] = [:]
    private var requestOfToken: [Int: Int] = [:]
    /// Called with what a write did wrong.
    var violated: (Invariant, String) -> Void = { _, _ in }
    private let windows: SimulatedWindows
    private var breakage: Breakage? { windows.breakage }
    private var serial = 0

    init(_ windows: SimulatedWindows) { self.windows = windows }

    private func nextSerial() -> Int {
        serial += 1
        return serial
    }

    func read(_ batch: SimulatedBatch, session: Int) -> SimulatedReading {
        let users = batch.users
        let reading = LeanReading(
            blobs: blobs.filter { users.contains($0.key) },
            watermarks: watermarks.filter { mark in batch.span.slices.contains { $0.partition == mark.key } })
        return SimulatedReading(asked: batch.span.asked(of: reading.blobs.values.map(\.place))) {
            [unowned self] model, committed in
            var reading = reading
            reading.committedElsewhere = committed
            let token = breakage == .reuseToken ? -session : nextSerial()
            var evaluation = windows.evaluate(batch, reading, model: model, token: token)
            evaluation.writes.request = nextSerial()
            let writes = evaluation.writes
            return Evaluation(verdicts: evaluation.verdicts) { [unowned self] in write(writes) }
        }
    }

    func windowAtRest(_ user: Int, committed: (Int32) -> Int64) -> [UInt8]? {
        guard let blob = blobs[user], !blob.isDamaged else { return nil }
        let sound = SimulatedWindows(events: windows.events, breakage: nil)
        var bytes: [UInt8] = []
        sound.decoded(blob, foldingBelow: committed(blob.place.partition)).encode(into: &bytes)
        return bytes
    }

    /// - Returns: false: a blob or a watermark is not the one that was read.
    func write(_ writes: SimulatedWrites) -> Bool {
        let isCompared = breakage != .skipCompare
        for (user, expected, _) in writes.blobs where blobs[user]?.token != expected {
            if isCompared, breakage != .compareWatermarkOnly || writes.watermarks.isEmpty { return false }
        }
        if isCompared, breakage != .skipWatermarkCompare {
            for (partition, expected, _) in writes.watermarks
            where watermarks[partition]?.token != expected { return false }
        }
        var oldBlobs: [(Int, SimulatedBlob?)] = []
        var oldMarks: [(Int32, SimulatedWatermark?)] = []
        for (user, expected, blob) in writes.blobs {
            if blobs[user]?.token != expected {
                violated(.noBlindWrite, "user \(user)'s window was written over one that was not read")
            }
            note(blob.token, writes.request)
            oldBlobs.append((user, blobs[user]))
            blobs[user] = blob
            if breakage == .writeHalf, writes.blobs.count > 1 { break }
        }
        for (partition, expected, watermark) in writes.watermarks {
            if watermarks[partition]?.token != expected {
                violated(.noBlindWrite, "partition \(partition)'s watermark was written over one not read")
            }
            note(watermark.token, writes.request)
            oldMarks.append((partition, watermarks[partition]))
            watermarks[partition] = watermark
        }
        history.append((oldBlobs, oldMarks, ends))
        for (partition, end) in writes.ends { ends[partition] = end }
        return true
    }

    private func note(_ token: Int, _ request: Int) {
        if let earlier = requestOfToken[token], earlier != request {
            violated(.freshTokens, "token \(token) was written by requests \(earlier) and \(request)")
        }
        requestOfToken[token] = request
    }

    func forgetWrites(_ count: Int) {
        for _ in 0..<count {
            guard let (oldBlobs, oldMarks, oldEnds) = history.popLast() else { return }
            for (user, blob) in oldBlobs.reversed() { blobs[user] = blob }
            for (partition, watermark) in oldMarks.reversed() { watermarks[partition] = watermark }
            ends = oldEnds
        }
    }

    func flush() {
        blobs = [:]
        watermarks = [:]
        ends = [:]
        history = []
    }

    func damage(_ user: Int) { blobs[user]?.isDamaged = true }
}
