import DetectorAPI
import Features
import Foundation
import Testing

@testable import Models

@Suite struct BriefHeaderTests {
    /// Everything that a brief header may have, and as little as it may.
    private static func headers() -> [ArtifactHeader] {
        var full = World.header(.user("someone-with-a-long-id"))
        full.version = 7
        full.detectorSHA256 = String(repeating: "a", count: 64)
        full.seed = .max
        full.parent = 3
        full.jobID = "job"
        full.severity = SeverityTable(trainingScores: (0..<500).map { -Double($0) / 700 })
        full.uncappedThreshold = -0.75
        full.labelsAsOfMilliseconds = 1_770_000_000_123
        full.payloadSHA256 = String(repeating: "b", count: 64)
        full.preprocessing = Preprocessing(
            scaling: .robust,
            numeric: FeatureSchema.numeric.map {
                .init(feature: $0.name, centre: 0.1, scale: 1e-300, usual: .nan)
            } + [.init(feature: "a feature of tomorrow", centre: -0.0, scale: 3, usual: .infinity)],
            categorical: [.init(feature: "category", categories: ["café", ""], usual: "other")],
            encoding: .native, coldBelow: 5, unseenAsUsual: ["category"])
        var least = full
        (least.userID, least.detectorSHA256, least.jobID, least.parent) = (nil, nil, nil, nil)
        (least.severity, least.uncappedThreshold, least.labelsAsOfMilliseconds) = (nil, nil, nil)
        // Columns that are not in the schema's order.
        least.preprocessing = Preprocessing(
            schemaVersion: 1, scaling: .none,
            numeric: FeatureSchema.numeric.reversed().map {
                .init(feature: $0.name, centre: 0, scale: 1, usual: 0)
            }, categorical: [], unseenAsUsual: [])
        return [full, least]
    }

    /// As JSON, because NaN is not equal to itself.
    @Test func whatIsReadIsWhatWasWritten() throws {
        for header in Self.headers() {
            let bytes = try #require(BriefHeader.encode(header))
            let read = try #require(bytes.withUnsafeBytes(BriefHeader.decode))
            #expect(read.json() == header.brief.json())
        }
    }

    @Test func otherBytesAreNotRead() throws {
        let bytes = try #require(BriefHeader.encode(Self.headers()[0]))
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 1
            #expect(changed.withUnsafeBytes(BriefHeader.decode) == nil, "byte \(place)")
            #expect(bytes[..<place].withUnsafeBytes(BriefHeader.decode) == nil, "\(place) bytes")
        }
    }

    @Test func whatIsTooLongIsNotWritten() {
        var header = Self.headers()[0]
        header.jobID = String(repeating: "x", count: 70_000)
        #expect(BriefHeader.encode(header) == nil)
    }

    /// The answer is the same with it, without it, and where it was damaged on the disk.
    @Test func aModelIsTheSameWithAndWithoutIt() throws {
        let world = try World()
        let user = "u"
        try world.publish(.user(user))
        let process = try world.process()
        try process.promotion.promote([.user(user): 1], by: "t", reason: "")
        func ready() throws -> ReadyModel {
            let artifact = try #require(process.cache.artifact(.user(user), version: 1, signers: [Data()]))
            return try ReadyModel(artifact, registry: world.registry)
        }
        let with = try ready()
        #expect(try #require(process.cache.artifact(.user(user), version: 1, signers: [Data()])).brief != nil)
        for change in ["NULL", "x'00112233445566778899aabb'", "zeroblob(2000)"] {
            try process.cache.database.write { db in
                try db.execute(sql: "UPDATE artifact SET brief = \(change) WHERE tenant != x''")
            }
            let without = try ready()
            #expect(
                try #require(process.cache.artifact(.user(user), version: 1, signers: [Data()])).brief == nil)
            #expect(without.brief.json() == with.brief.json() && without.sha256 == with.sha256)
            #expect(without.header.json() == with.header.json())
        }
    }
}
