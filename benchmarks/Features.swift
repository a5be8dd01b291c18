import Features
import Transactions

/// Messages of about 250 bytes, parsed in batches of 2,000 on one core.
func benchmarkParsing() {
    var seed = FeatureBenchmarkSeed(state: 1)
    let messages = (0..<2000).map { number in
        Array(Transaction.example(number, &seed).json().utf8)
    }
    let bytes = messages.flatMap { $0 }
    let parser = TransactionParser()
    var batch = TransactionBatch()
    bytes.withUnsafeBytes { bytes in
        var views: [UnsafeRawBufferPointer] = []
        var start = 0
        for message in messages {
            views.append(UnsafeRawBufferPointer(rebasing: bytes[start..<start + message.count]))
            start += message.count
        }
        let seconds = bestSecondsPerRound(rounds: 2000) {
            batch.removeAll(keepingCapacity: true)
            precondition(parser.parse(views, into: &batch).isEmpty)
        }
        report("parse, \(bytes.count / messages.count) bytes a message", seconds / Double(messages.count))
    }
}

/// Windows of users with 2, 8 and 30 transactions a day: decode, features, fold and encode, on one core.
func benchmarkFolding() {
    for eventsPerDay in [2, 8, 30] {
        let states = WindowStates(users: 100, eventsPerDay: eventsPerDay)
        benchmarkSteps(states)
    }
    benchmarkEncodingOfRows()
}

private func benchmarkSteps(_ states: WindowStates) {
    let count = Double(states.events.count)
    var windows = states.windows
    var features = [Float](repeating: 0, count: UserWindow.featureCount)
    var bytes: [UInt8] = []
    let label = "\(states.eventsPerDay) a day, \(states.averageBytes) bytes"
    features.withUnsafeMutableBufferPointer { features in
        let decode = bestSecondsPerRound(rounds: 200) {
            for (user, encoded) in states.encoded.enumerated() { windows[user] = decoded(encoded) }
        }
        report("\(label): decode", decode / count)
        let write = bestSecondsPerRound(rounds: 200) {
            for (user, event) in states.events.enumerated() {
                windows[user].writeFeatures(for: event, into: features)
            }
        }
        report("\(label): features", write / count)
        let encode = bestSecondsPerRound(rounds: 200) {
            for window in windows {
                bytes.removeAll(keepingCapacity: true)
                window.encode(into: &bytes)
            }
        }
        report("\(label): encode", encode / count)
        var window = UserWindow()
        let all = bestSecondsPerRound(rounds: 200) {
            for (user, event) in states.events.enumerated() {
                // As a stream does it: in the memory of the window before.
                precondition(
                    (try? states.encoded[user].withUnsafeBytes { try window.replace(decoding: $0) }) != nil)
                window.writeFeatures(for: event, into: features)
                window.fold(event)
                bytes.removeAll(keepingCapacity: true)
                window.encode(into: &bytes)
            }
        }
        report("\(label): all, with fold", all / count)
    }
}

private func benchmarkEncodingOfRows() {
    var seed = FeatureBenchmarkSeed(state: 3)
    var rows = TransactionBatch()
    for number in 0..<2000 { rows.append(Transaction.example(number, &seed)) }
    let batch = rows
    let numeric = (0..<batch.count * UserWindow.featureCount).map { _ in Float(seed.below(1000)) }
    numeric.withUnsafeBufferPointer { numeric in
        guard let plan = try? PreprocessingPlan(Preprocessing.fit(numeric: numeric, batch: batch)) else {
            return
        }
        let fit = bestSecondsPerRound(rounds: 20) { _ = Preprocessing.fit(numeric: numeric, batch: batch) }
        report("fit a preprocessing, a row of 2,000", fit / Double(batch.count))
        let robust = PreprocessingFitter.Options(scaling: .robust)
        let fitRobust = bestSecondsPerRound(rounds: 20) {
            _ = Preprocessing.fit(numeric: numeric, batch: batch, options: robust)
        }
        report("the same, robust", fitRobust / Double(batch.count))
        var encoded = [Float](repeating: 0, count: plan.columnCount)
        let apply = bestSecondsPerRound(rounds: 50) {
            encoded.withUnsafeMutableBufferPointer { encoded in
                for row in 0..<batch.count {
                    let start = row * UserWindow.featureCount
                    let features = UnsafeBufferPointer(
                        rebasing: numeric[start..<start + UserWindow.featureCount])
                    plan.apply(numeric: features, batch: batch, row: row, into: encoded)
                }
            }
        }
        report("preprocess a row into \(plan.columnCount) columns", apply / Double(batch.count))
    }
}

/// Windows after 40 days, and the next event of each.
private struct WindowStates {
    let eventsPerDay: Int
    var windows: [UserWindow] = []
    var events: [WindowEvent] = []
    var encoded: [[UInt8]] = []

    init(users: Int, eventsPerDay: Int) {
        self.eventsPerDay = eventsPerDay
        var seed = FeatureBenchmarkSeed(state: 2)
        for _ in 0..<users {
            var window = UserWindow()
            var time: Int64 = 1_527_811_200_000
            let merchants = (0..<40).map { _ in seed.next() }
            for index in 0...40 * eventsPerDay {
                time += Int64(seed.below(2 * 86_400_000 / eventsPerDay))
                let event = WindowEvent(
                    timestampMilliseconds: time, amount: Double(seed.below(20_000)) / 100,
                    merchant: merchants[seed.below(40)], country: 7 << 40, device: merchants[seed.below(3)],
                    latitude: 48 + Double(seed.below(1000)) / 1000, longitude: 11)
                if index == 40 * eventsPerDay { events.append(event) } else { window.fold(event) }
            }
            windows.append(window)
            var bytes: [UInt8] = []
            window.encode(into: &bytes)
            encoded.append(bytes)
        }
    }

    var averageBytes: Int { encoded.reduce(0) { $0 + $1.count } / encoded.count }
}

private func decoded(_ bytes: [UInt8]) -> UserWindow {
    do {
        return try bytes.withUnsafeBytes { bytes throws(WindowFormatError) in try UserWindow(decoding: bytes)
        }
    } catch {
        preconditionFailure("a window that was just encoded: \(error)")
    }
}

private func report(_ what: String, _ seconds: Double) {
    let padded = what + String(repeating: " ", count: max(0, 44 - what.count))
    print("\(padded) \(Int(1 / seconds)) transactions/s, \(Int((seconds * 1e9).rounded())) ns each")
}

private func bestSecondsPerRound(rounds: Int, _ body: () -> Void) -> Double {
    var best = Double.infinity
    for _ in 0..<rounds {
        let duration = ContinuousClock().measure(body)
        best = min(
            best, Double(duration.components.attoseconds) * 1e-18 + Double(duration.components.seconds))
    }
    return best
}

extension Transaction {
    fileprivate static func example(_ number: Int, _ seed: inout FeatureBenchmarkSeed) -> Transaction {
        let categories = ["grocery", "fuel", "travel", "restaurant", "electronics", "health"]
        return Transaction(
            transactionID: "txn-\(1_000_000 + number)", userID: "user-\(seed.below(100_000))",
            amount: Double(seed.below(50_000)) / 100,
            timestampMilliseconds: 1_527_811_200_000 + Int64(number),
            currency: "EUR", merchantID: "merchant-\(seed.below(5000))",
            category: categories[seed.below(categories.count)], country: "DE", channel: "online",
            deviceID: "device-\(seed.below(9999))", latitude: Double(seed.below(90_000)) / 1000,
            longitude: Double(seed.below(90_000)) / 1000)
    }
}

/// A linear congruential generator (Knuth's MMIX): the same work in every run.
private struct FeatureBenchmarkSeed {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }

    mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }
}
