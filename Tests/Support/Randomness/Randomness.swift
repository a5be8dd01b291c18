import Foundation

/// Random numbers whose seed is printed, and taken back from `ML_SERVICE_TEST_SEED`.
public struct Randomness: RandomNumberGenerator {
    private var state: UInt64

    public init(_ test: String = #function) {
        let given = ProcessInfo.processInfo.environment["ML_SERVICE_TEST_SEED"].flatMap { UInt64($0) }
        state = given ?? .random(in: 0 ... .max)
        print("\(test): ML_SERVICE_TEST_SEED=\(state)")
    }

    /// SplitMix64.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    public mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    public mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}
