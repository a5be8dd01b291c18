import Crypto
import DetectorAPI
import Features
import Foundation
import Testing

@testable import Models

/// An artifact is what was published, or it is refused.
@Suite struct ArtifactTests {
    private let key = SymmetricKey(data: Array("secret".utf8))

    @Test func whatIsWrittenIsRead() throws {
        let payload = try World.payload()
        let header = World.header(.user("ü/../x"))
        let bytes = try Artifact.encode(header, payload: payload, key: key)
        let artifact = try Artifact(decoding: ArtifactBytes(copying: bytes), key: key)
        #expect(artifact.header.tenant == .user("ü/../x"))
        #expect(artifact.header.threshold == -0.6)
        #expect(Array(artifact.payload.bytes) == payload)
        // The same header gives the same bytes.
        #expect(try Artifact.encode(header, payload: payload, key: key) == bytes)
        #expect(try Artifact.encode(artifact.header, payload: payload, key: key) == bytes)
    }

    @Test func thePayloadIsNotCopiedAndIsAligned() throws {
        let file = ArtifactBytes(
            copying: try Artifact.encode(World.header(.global), payload: [1, 2, 3], key: nil))
        let payload = try Artifact(decoding: file, key: nil).payload.bytes
        #expect(payload.baseAddress == file.bytes.baseAddress.map { $0 + file.bytes.count - 3 })
        #expect(UInt(bitPattern: payload.baseAddress) % 64 == 0)
    }

    @Test func aWrongSignatureIsRefused() throws {
        let payload = try World.payload()
        let unsigned = try Artifact.encode(World.header(.global), payload: payload, key: nil)
        let other = SymmetricKey(data: Array("other".utf8))
        let signed = try Artifact.encode(World.header(.global), payload: payload, key: key)
        let tail = try Artifact.encode(World.header(.global), payload: payload, key: other)
        for bytes in [unsigned, tail, signed.dropLast(32) + tail.suffix(32)] {
            #expect(throws: ArtifactError.wrongSignature) {
                try Artifact(decoding: ArtifactBytes(copying: bytes), key: key)
            }
        }
        // Without a key a signature is not looked at.
        _ = try Artifact(decoding: ArtifactBytes(copying: signed), key: nil)
    }

    /// Every byte counts: what has been changed anywhere, or is longer or shorter, is refused.
    @Test func damagedBytesAreRefusedAndNeverTrap() throws {
        let header = World.header(.user("a"))
        let bytes = try Artifact.encode(header, payload: try World.payload(), key: nil)
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<20_000 {
            var damaged = bytes
            switch generator.below(4) {
            case 0: damaged.removeLast(1 + generator.below(damaged.count))
            case 1:
                damaged += (0...generator.below(64)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            default: break
            }
            for _ in 0..<generator.below(4) where !damaged.isEmpty {
                damaged[generator.below(damaged.count)] = UInt8(truncatingIfNeeded: generator.next())
            }
            // 32 bytes more are a signature, which is not looked at here.
            guard damaged != bytes, !(damaged.count == bytes.count + 32 && damaged.starts(with: bytes)) else {
                continue
            }
            #expect(throws: ArtifactError.self) {
                try Artifact(decoding: ArtifactBytes(copying: damaged), key: nil)
            }
        }
    }

    /// Somebody who can compute checksums can write any header: it is refused or harmless, and never traps.
    @Test func hostileHeadersNeverTrap() throws {
        let json = World.header(.user("a\"\\\u{1}ü")).json()
        var generator = SeededGenerator(seed: 4)
        var readCount = 0
        for _ in 0..<20_000 {
            var hostile = json
            for _ in 0...generator.below(3) {
                switch generator.below(3) {
                case 0: hostile.remove(at: generator.below(hostile.count))
                case 1:
                    hostile.insert(
                        hostile[generator.below(hostile.count)], at: generator.below(hostile.count))
                default: hostile[generator.below(hostile.count)] = UInt8(truncatingIfNeeded: generator.next())
                }
            }
            if (try? hostile.withUnsafeBytes { try ArtifactHeader(json: $0) }) != nil { readCount += 1 }
        }
        #expect(readCount < 20_000)
    }

    @Test(arguments: [
        (8, UInt64(3), ArtifactError.unknownFormat(3)), (8, 0, ArtifactError.unknownFormat(0)),
        (12, UInt64(UInt32.max), nil), (16, UInt64.max, nil), (16, UInt64(Int64.max), nil), (16, 0, nil),
    ])
    func hostileSizesAreRefused(offset: Int, value: UInt64, expected: ArtifactError?) throws {
        var bytes = try Artifact.encode(World.header(.global), payload: try World.payload(), key: nil)
        let size = offset < 16 ? 4 : 8
        withUnsafeBytes(of: value.littleEndian) {
            bytes.replaceSubrange(offset..<offset + size, with: $0.prefix(size))
        }
        let error = #expect(throws: ArtifactError.self) {
            try Artifact(decoding: ArtifactBytes(copying: bytes), key: nil)
        }
        if let expected { #expect(error == expected) }
    }

    @Test func headersAreReadAsTheyWereWritten() throws {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<300 {
            let header = randomHeader(&generator)
            let json = header.json()
            let read = try json.withUnsafeBytes { try ArtifactHeader(json: $0) }
            #expect(read == header)
            #expect(read.json() == json)
            // It is JSON for others too, and numbers keep their bits.
            struct Members: Decodable {
                let detectorID: String
                let threshold: Double
            }
            let members = try JSONDecoder().decode(Members.self, from: Data(json))
            #expect(members.detectorID == header.detectorID && members.threshold == header.threshold)
        }
    }

    /// Format 1's headers are what `JSONEncoder` wrote.
    @Test func headersOfFormat1AreRead() throws {
        var generator = SeededGenerator(seed: 12)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        for _ in 0..<300 {
            let header = randomHeader(&generator)
            let json = [UInt8](try encoder.encode(header))
            #expect(try json.withUnsafeBytes { try ArtifactHeader(json: $0) } == header)
        }
    }

    /// A user's artifact is mostly header: a z-score baseline's payload has 400 bytes.
    @Test func aUsersHeaderIsSmall() throws {
        var header = World.header(.user("user-000001"))
        header.preprocessing.numeric = FeatureSchema.numeric.enumerated().map { place, feature in
            let centre = 100 / Double(3 + place)
            return .init(feature: feature.name, centre: centre, scale: centre / 7, usual: centre)
        }
        let encoder = JSONEncoder()
        #expect(try 5 * header.json().count < 3 * encoder.encode(header).count)
    }

    private func randomHeader(_ generator: inout SeededGenerator) -> ArtifactHeader {
        let texts = ["", "a", "\"\\/\n\u{0}\u{1F}", "ü€😀", "e\u{301}", String(repeating: "long ", count: 40)]
        func text() -> String { texts[generator.below(texts.count)] + "\(generator.below(1_000))" }
        func number() -> Double {
            let wide = Double(bitPattern: generator.next())
            return generator.below(2) == 0 || !wide.isFinite ? generator.unit() * 1e6 : wide
        }
        let numeric = (0..<generator.below(30)).map { _ in
            Preprocessing.NumericColumn(feature: text(), centre: number(), scale: number(), usual: number())
        }
        let categorical = (0..<generator.below(4)).map { _ in
            Preprocessing.CategoricalColumns(
                feature: text(), categories: (0..<generator.below(5)).map { _ in text() }, usual: text())
        }
        return ArtifactHeader(
            userID: generator.below(2) == 0 ? nil : text(), version: generator.below(1 << 40),
            detectorID: text(), detectorVersion: text(),
            detectorSHA256: generator.below(2) == 0 ? nil : text(),
            parameters: [text(): text(), "b": text()],
            seed: generator.next(),
            preprocessing: Preprocessing(
                schemaVersion: generator.below(10), scaling: .robust, numeric: numeric,
                categorical: categorical, encoding: generator.below(2) == 0 ? .oneHot : .native),
            threshold: number(),
            severity: generator.below(2) == 0
                ? nil : SeverityTable(trainingScores: (0...generator.below(3_000)).map { _ in number() }),
            contamination: number(),
            trainingRange: .init(from: text(), to: text()), rowCount: generator.below(1 << 50),
            metrics: [text(): number(), "m": number()], parent: generator.below(2) == 0 ? nil : 3,
            createdMilliseconds: Int64(bitPattern: generator.next()) / 2,
            jobID: generator.below(2) == 0 ? nil : text(),
            source: generator.below(2) == 0
                ? nil : ArtifactHeader.Source(file: text(), sha256: text(), producer: text()))
    }

    @Test func anUnknownEncodingIsRefused() throws {
        var header = World.header(.global)
        header.preprocessing = Preprocessing(
            scaling: .none, numeric: header.preprocessing.numeric, categorical: [], encoding: .native)
        let json = String(decoding: header.json(), as: UTF8.self)
        let strange = Array(json.replacingOccurrences(of: "\"native\"", with: "\"hashed\"").utf8)
        #expect(throws: (any Error).self) { try strange.withUnsafeBytes { try ArtifactHeader(json: $0) } }
    }

    @Test(arguments: [
        "{\"ranks\":[200,100],\"rows\":100,\"scale\":1,\"scores\":[-0.5],\"shape\":0}",
        "{\"ranks\":[200],\"rows\":100,\"scale\":0,\"scores\":[-0.5],\"shape\":0}",
        "{\"ranks\":[200],\"rows\":100,\"scores\":[-0.5],\"shape\":0}", "[]", "0.5",
    ])
    func aSeverityThatSaysNothingIsRefused(severity: String) throws {
        let json = String(decoding: World.header(.global).json(), as: UTF8.self)
        let strange = Array(
            json.replacingOccurrences(of: "\"threshold\"", with: "\"severity\":\(severity),$0")
                .replacingOccurrences(of: "$0", with: "\"threshold\"").utf8)
        #expect(throws: (any Error).self) { try strange.withUnsafeBytes { try ArtifactHeader(json: $0) } }
    }

    @Test func headersMayHoldNumbersThatAreNone() throws {
        var header = World.header(.global, threshold: .nan)
        header.metrics = ["a": .infinity, "b": -.infinity]
        let json = header.json()
        let read = try json.withUnsafeBytes { try ArtifactHeader(json: $0) }
        #expect(read.threshold.isNaN)
        #expect(read.metrics == ["a": .infinity, "b": -.infinity])
    }
}
