import Features
import Foundation
import Randomness
import Testing

@Suite struct WindowEncodingTests {
    @Test func decodingGivesTheSameWindow() throws {
        var source = EventSource(random: Randomness())
        for _ in 0..<300 {
            source.pauseSeconds = [20, 2000, 200_000, 4_000_000][source.random.below(4)]
            let window = UserWindow(source.next(source.random.below(400)))
            let bytes = window.encoded()
            let decoded = try UserWindow(decoding: bytes)
            #expect(decoded == window)
            #expect(decoded.encoded() == bytes)
            let event = source.next()
            #expect(bits(decoded.features(event)) == bits(window.features(event)))
        }
    }

    @Test func aWindowIsReadIntoTheMemoryOfAnother() throws {
        var source = EventSource(random: Randomness())
        var place = UserWindow()
        for _ in 0..<100 {
            let window = UserWindow(source.next(source.random.below(100)))
            try window.encoded().withUnsafeBytes { try place.replace(decoding: $0) }
            #expect(place == window)
        }
    }

    @Test func encodingAppends() {
        var bytes: [UInt8] = [1, 2, 3]
        UserWindow().encode(into: &bytes)
        #expect(bytes == [1, 2, 3, 1, 0])
    }

    @Test func countsOfEveryWidthAreKept() throws {
        let event = WindowEvent(timestampMilliseconds: 1_527_811_200_000, amount: 0.1)
        var window = UserWindow()
        for count in 1...70_000 {
            window.fold(event)
            if [1, 2, 255, 256, 65_535, 65_536, 70_000].contains(count) {
                #expect(try UserWindow(decoding: window.encoded()) == window)
                #expect(try window.feature("count_1h", event) == Float(count))
            }
        }
    }

    @Test func countsStopAtTheLargest() throws {
        let event = WindowEvent(timestampMilliseconds: 1_527_811_200_000, amount: 0)
        var window = UserWindow([event])
        for _ in 0..<33 {
            let same = window
            window.merge(same)
        }
        #expect(try UserWindow(decoding: window.encoded()) == window)
        #expect(try window.feature("count_1h", event) == Float(UInt32.max))
    }

    @Test func otherVersionsAndEndsAreNamed() throws {
        var source = EventSource(random: Randomness())
        var bytes = UserWindow(source.next(50)).encoded()
        #expect(throws: WindowFormatError.trailingBytes(1)) { try UserWindow(decoding: bytes + [0]) }
        #expect(throws: WindowFormatError.truncated) { try UserWindow(decoding: []) }
        for count in bytes.indices {
            #expect(throws: WindowFormatError.self) { try UserWindow(decoding: Array(bytes[..<count])) }
        }
        bytes[0] = 7
        #expect(throws: WindowFormatError.unsupportedVersion(7)) { try UserWindow(decoding: bytes) }
        let told = WindowFormatError.unsupportedVersion(7).description
        #expect(told == "window has format version 7, this service reads 1")
    }

    /// Damaged bytes are refused, or give a window that works.
    @Test func hostileBytesDoNotTrap() throws {
        var source = EventSource(random: Randomness())
        var accepted = 0
        var faults = 0
        for _ in 0..<200 {
            source.pauseSeconds = [200, 20_000, 400_000][source.random.below(3)]
            let whole = UserWindow(source.next(source.random.below(150))).encoded()
            for _ in 0..<100 {
                let bytes = damaged(whole, &source.random)
                guard var window = try? UserWindow(decoding: bytes) else { continue }
                accepted += 1
                if !works(&window, source.next()) { faults += 1 }
            }
        }
        print("\(accepted) damaged windows were accepted")
        #expect(faults == 0)
    }

    private func damaged(_ whole: [UInt8], _ random: inout Randomness) -> [UInt8] {
        var bytes = whole
        for _ in 0...random.below(3) {
            let place = random.below(bytes.count + 1)
            switch random.below(5) {
            case 0 where place < bytes.count: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 1 where place < bytes.count: bytes[place] ^= 1 << UInt8(random.below(8))
            case 2: bytes.removeSubrange(place..<min(bytes.count, place + random.below(12)))
            case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
            default:
                if place < 24, place < bytes.count { bytes[place] = UInt8(truncatingIfNeeded: random.next()) }
            }
        }
        return bytes
    }

    private func works(_ window: inout UserWindow, _ event: WindowEvent) -> Bool {
        guard !window.features(event).contains(where: \.isInfinite) else { return false }
        var other = UserWindow([event])
        other.merge(window)
        window.merge(other)
        window.fold(event)
        guard !window.features(event).contains(where: \.isInfinite) else { return false }
        window.decay(asOfMilliseconds: event.timestampMilliseconds)
        let bytes = window.encoded()
        return bytes.count <= UserWindow.maximumEncodedSize && (try? UserWindow(decoding: bytes)) == window
    }

    @Test func eventsAreFiftySixBytes() throws {
        var source = EventSource(random: Randomness())
        for _ in 0..<100 {
            let event = source.next()
            var bytes: [UInt8] = []
            event.encode(into: &bytes)
            #expect(bytes.count == WindowEvent.encodedSize)
            #expect(try bytes.withUnsafeBytes { try WindowEvent(decoding: $0) } == event)
            #expect(throws: WindowFormatError.truncated) {
                try bytes.dropLast().withUnsafeBytes { try WindowEvent(decoding: $0) }
            }
        }
        var bytes: [UInt8] = []
        WindowEvent(
            timestampMilliseconds: 258, amount: 1, merchant: 3, country: 4, device: 5, latitude: 0,
            longitude: 0
        )
        .encode(into: &bytes)
        #expect(Array(bytes[..<18]) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 3, 0])
    }
}
