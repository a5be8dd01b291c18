import Features
import Randomness
import Testing

/// A window that keeps every record: what `UserWindow` must agree with.
struct WindowModel {
    /// Width in ms and number of buckets, in the order of the features: 1 h, 24 h, 7 d, 30 d.
    static let tiers: [(width: Int64, length: Int64)] = [
        (60_000, 60), (3_600_000, 24), (21_600_000, 28), (86_400_000, 30),
    ]

    private(set) var events: [WindowEvent] = []

    mutating func fold(_ event: WindowEvent) { events.append(event) }

    private var newest: Int64 { events.map(\.timestampMilliseconds).max() ?? 0 }

    /// Amounts in the buckets that end with the one of `time`, of those in reach of the newest event.
    func amounts(_ tier: Int, at time: Int64) -> [Double] {
        let (width, length) = Self.tiers[tier]
        let last = floor(time, width)
        let firstInReach = floor(newest, width) - length + 1
        return events.filter { event in
            let bucket = floor(event.timestampMilliseconds, width)
            return bucket > last - length && bucket <= last && bucket >= firstInReach
        }.map(\.amount)
    }

    func isNew(_ hash: UInt64, of field: KeyPath<WindowEvent, UInt64>, capacity: Int, at time: Int64) -> Float
    {
        if hash == 0 { return .nan }
        var lastSeen: [UInt64: Int64] = [:]
        for event in events where event[keyPath: field] != 0 {
            let minute = floor(event.timestampMilliseconds, 60_000)
            lastSeen[event[keyPath: field], default: minute] = max(
                minute, lastSeen[event[keyPath: field]] ?? minute)
        }
        let kept = lastSeen.filter { floor($0.value, 1440) > floor(newest, 86_400_000) - 30 }
            .sorted { $0.value != $1.value ? $0.value > $1.value : $0.key > $1.key }.prefix(capacity)
        guard let member = kept.first(where: { $0.key == hash }) else { return 1 }
        return floor(member.value, 1440) > floor(time, 86_400_000) - 30 ? 0 : 1
    }

    private func floor(_ a: Int64, _ b: Int64) -> Int64 { Int64((Double(a) / Double(b)).rounded(.down)) }
}

extension UserWindow {
    func features(_ event: WindowEvent) -> [Float] {
        var features = [Float](repeating: -1, count: Self.featureCount)
        features.withUnsafeMutableBufferPointer { writeFeatures(for: event, into: $0) }
        return features
    }

    func feature(_ name: String, _ event: WindowEvent) throws -> Float {
        features(event)[try #require(FeatureSchema.index(of: name))]
    }

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        encode(into: &bytes)
        return bytes
    }

    init(_ events: some Sequence<WindowEvent>) {
        self.init()
        for event in events { fold(event) }
    }

    init(decoding bytes: [UInt8]) throws {
        self = try bytes.withUnsafeBytes { try UserWindow(decoding: $0) }
    }
}

/// Their bits, so that NaN equals NaN and -0 differs from 0.
func bits(_ features: [Float]) -> [UInt32] { features.map(\.bitPattern) }

/// A user's transactions: bursts and pauses, some late, some without this or that.
struct EventSource {
    var random: Randomness
    var time: Int64 = 1_527_811_200_000
    /// Most seconds between two events: the speed with which windows fill.
    var pauseSeconds = 20_000
    var latePercent = 10
    var lateSeconds = 40 * 86_400

    mutating func next() -> WindowEvent {
        let pause = random.chance(50) ? random.below(120) : random.below(pauseSeconds)
        time += Int64(pause * 1000 + random.below(1000))
        let late = random.chance(latePercent) ? Int64(random.below(lateSeconds)) * 1000 : 0
        let isLocated = random.chance(40)
        return WindowEvent(
            timestampMilliseconds: time - late, amount: amount(), merchant: hash(60), country: hash(12),
            device: hash(25), latitude: isLocated ? .random(in: -90...90, using: &random) : .nan,
            longitude: isLocated ? .random(in: -180...180, using: &random) : .nan)
    }

    mutating func next(_ count: Int) -> [WindowEvent] { (0..<count).map { _ in next() } }

    private mutating func amount() -> Double {
        switch random.below(10) {
        case 0: .random(in: -1e6...1e6, using: &random)
        case 1: 0
        default: Double(random.below(1_000_000)) / 100
        }
    }

    /// Hashes that differ in their upper half, as those of texts do; 0 for a missing one.
    private mutating func hash(_ different: Int) -> UInt64 {
        random.chance(10) ? 0 : UInt64(1 + random.below(different)) &* 0x9E37_79B9_7F4A_7C15
    }
}
