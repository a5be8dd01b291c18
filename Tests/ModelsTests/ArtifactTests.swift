import Crypto
import DetectorAPI
import Foundation
import Testing

@testable import Models

/// An artifact is what was published, or it is refused.
@Suite struct ArtifactTests {
    private let key = SymmetricKey(data: Array("secret".utf8))

    @Test func whatIsWrittenIsRead() throws {
        let payload = try World.payload()
        let bytes = try Artifact.encode(World.header(.user("ü/../x")), payload: payload, key: key)
        let artifact = try Artifact(decoding: ArtifactBytes(copying: bytes), key: key)
        #expect(artifact.header.tenant == .user("ü/../x"))
        #expect(artifact.header.threshold == -0.6)
        #expect(Array(artifact.payload.bytes) == payload)
        // The same header gives the same bytes.
        #expect(try Artifact.encode(World.header(.user("ü/../x")), payload: payload, key: key) == bytes)
    }

    @Test func aWrongSignatureIsRefused() throws {
        let payload = try World.payload()
        let unsigned = try Artifact.encode(World.header(.global), payload: payload, key: nil)
        let other = SymmetricKey(data: Array("other".utf8))
        for bytes in [unsigned, try Artifact.encode(World.header(.global), payload: payload, key: other)] {
            #expect(throws: ArtifactError.wrongSignature) {
                try Artifact(decoding: ArtifactBytes(copying: bytes), key: key)
            }
        }
    }

    @Test func damagedBytesAreRefusedAndNeverTrap() throws {
        let bytes = try Artifact.encode(World.header(.global), payload: try World.payload(), key: nil)
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<10_000 {
            var damaged = bytes
            if generator.below(3) == 0 { damaged.removeLast(1 + generator.below(damaged.count)) }
            guard !damaged.isEmpty else { continue }
            for _ in 0...generator.below(4) {
                damaged[generator.below(damaged.count)] = UInt8(truncatingIfNeeded: generator.next())
            }
            let artifact = try? Artifact(decoding: ArtifactBytes(copying: damaged), key: nil)
            // What is still read has an unharmed payload: its checksum was right.
            if let artifact { #expect(Array(artifact.payload.bytes) == (try World.payload())) }
        }
    }
}
