import Features
import Randomness
import Testing

@Suite struct WindowPackingTests {
    /// - Returns: nil when it cannot be packed.
    private func packed(_ window: UserWindow, _ shared: inout SharedHashes) -> [UInt8]? {
        var bits = BitWriter()
        guard window.pack(into: &bits, &shared) else { return nil }
        bits.finish()
        return bits.bytes
    }

    private func unpacked(_ bytes: [UInt8], _ shared: borrowing SharedHashes) -> UserWindow {
        bytes.withUnsafeBytes {
            var bits = BitReader($0)
            return UserWindow(unpacking: &bits, shared)
        }
    }

    @Test func unpackingGivesTheSameWindowBitForBit() throws {
        var source = EventSource(random: Randomness())
        var shared = SharedHashes()
        for _ in 0..<400 {
            source.pauseSeconds = [20, 2000, 20_000, 200_000, 4_000_000][source.random.below(5)]
            let window = UserWindow(source.next(source.random.below(400)))
            let bytes = try #require(packed(window, &shared))
            let again = unpacked(bytes, shared)
            #expect(again == window)
            #expect(again.encoded() == window.encoded())
        }
    }

    /// Sums that have been rounded, ones beyond hundredths, negative ones, and a day whose quarters do not make it up.
    @Test func amountsOfEveryKindAreKept() throws {
        var random = Randomness()
        var shared = SharedHashes()
        let kinds: [() -> Double] = [
            { 0.1 }, { -0.07 }, { 1e-9 }, { 1e100 }, { -1e100 }, { 12_345_678.91 }, { 0 }, { .pi },
        ]
        for _ in 0..<300 {
            var window = UserWindow()
            var time: Int64 = 1_700_000_000_000
            let kind = random.below(kinds.count)
            for _ in 0..<random.below(200) {
                time += Int64(random.below(20_000_000))
                let mixed = random.chance(10) ? random.below(kinds.count) : kind
                let late = random.chance(10) ? Int64(random.below(400_000_000)) : 0
                window.fold(
                    WindowEvent(
                        timestampMilliseconds: time - late,
                        amount: kinds[mixed](), merchant: random.next(), device: random.next(),
                        latitude: 52.3712, longitude: -4.8999))
            }
            let bytes = try #require(packed(window, &shared))
            #expect(unpacked(bytes, shared).encoded() == window.encoded())
        }
    }

    /// What many users have in common is kept once, for as many as there are numbers; the rest stands for itself.
    @Test func moreMerchantsThanNumbersAreKept() throws {
        var random = Randomness()
        var shared = SharedHashes()
        for user in 0..<1_000 {
            var window = UserWindow()
            for event in 0..<30 {
                window.fold(
                    WindowEvent(
                        timestampMilliseconds: 1_700_000_000_000 + Int64(event) * 3_600_000,
                        amount: Double(user), merchant: random.next(), country: UInt64(user % 7 + 1) << 40))
            }
            let bytes = try #require(packed(window, &shared))
            #expect(unpacked(bytes, shared) == window)
        }
        #expect(shared.sizeBytes < 600_000)
    }

    @Test func numbersOfEverySizeAreKept() {
        var random = Randomness()
        let written = (0..<5_000).map { _ in
            (value: random.next() >> UInt64(random.below(56) + 8), order: random.below(32))
        }
        var bits = BitWriter()
        for number in written { bits.write(number.value, order: number.order) }
        bits.write(long: .max, bits: 64)
        bits.write(true)
        bits.finish()
        bits.bytes.withUnsafeBytes {
            var reader = BitReader($0)
            for number in written {
                let value = reader.read(order: number.order)
                #expect(value == number.value)
            }
            let long = reader.read(long: 64)
            let flag = reader.flag()
            // Behind the end there is nothing, and nothing is read.
            let beyond = reader.read(long: 64)
            #expect(long == .max && flag && beyond == 0)
        }
    }
}
