import Features
import Foundation
import Testing

/// What was once written must be read, and once computed must be computed, for ever and on every machine.
///
/// `Fixtures/` is written anew by `ML_SERVICE_REGENERATE=1 swift test --filter FixtureTests`; for version 1 that must
/// never be needed again.
@Suite struct FixtureTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
        path: "Fixtures")
    static let regenerates = ProcessInfo.processInfo.environment["ML_SERVICE_REGENERATE"] == "1"

    /// A year of a user's events by a fixed rule, in plain integer arithmetic.
    private func events(_ count: Int) -> [WindowEvent] {
        var state: UInt64 = 42
        func below(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        var time: Int64 = 1_500_000_000_000
        return (0..<count).map { _ in
            time += Int64(below(10) < 5 ? below(300_000) : below(60_000_000))
            let late = below(12) == 0 ? Int64(below(3_000_000_000)) : 0
            let hash = { (bound: UInt64) in below(10) == 0 ? 0 : (1 + below(bound)) &* 0x9E37_79B9_7F4A_7C15 }
            let isLocated = below(3) == 0
            let amount = below(20) == 0 ? Double(below(1000)) / 7 : Double(below(50_000)) / 100
            return WindowEvent(
                timestampMilliseconds: time - late, amount: amount, merchant: hash(50), country: hash(10),
                device: hash(20), latitude: isLocated ? Double(below(180)) - 90 + 0.125 : .nan,
                longitude: isLocated ? Double(below(360)) - 180 + 0.375 : .nan)
        }
    }

    @Test func windowsOfFormatVersion1AreRead() throws {
        let file = Self.folder.appending(path: "window-v1.bin")
        let window = UserWindow(events(2000))
        if Self.regenerates { try Data(window.encoded()).write(to: file) }
        let bytes = [UInt8](try Data(contentsOf: file))
        #expect(bytes.first == 1)
        #expect(try UserWindow(decoding: bytes) == window)
        #expect(window.encoded() == bytes)
    }

    /// The bits of the features of every tenth event, one line each: of a version's that come from windows.
    @Test(arguments: [1]) func featuresKeepTheirBits(version: Int) throws {
        let file = Self.folder.appending(path: "features-v\(version).txt")
        let count = min(
            FeatureSchema.numericCount(version: version), UserWindow.referencePlaces[0])
        var window = UserWindow()
        var lines: [String] = []
        for (index, event) in events(2000).enumerated() {
            if index % 10 == 0 {
                lines.append(
                    bits(Array(window.features(event).prefix(count))).map(hexadecimal).joined(separator: " "))
            }
            window.fold(event)
        }
        let text = lines.joined(separator: "\n") + "\n"
        if Self.regenerates { try Data(text.utf8).write(to: file) }
        #expect(try String(contentsOf: file, encoding: .utf8) == text)
    }

    private func hexadecimal(_ bits: UInt32) -> String {
        // NaN has many bit patterns; only that it is one matters.
        let isNaN = Float(bitPattern: bits).isNaN
        return isNaN ? "nan" : String(bits, radix: 16)
    }
}
