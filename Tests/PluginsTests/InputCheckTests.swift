import DetectorAPI
import Testing

@testable import Plugins

/// A detector that says it uses categories and weights, and does not understand them, is found out.
@Suite struct InputCheckTests {
    /// The mean of all values, weights or not; rows far from it are unusual.
    private struct Careless: Detector {
        let info = DetectorInfo(
            id: "careless", version: "1.0.0", summary: "Takes codes for numbers.", parameters: [],
            uses: [.categories, .weights])

        func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext) throws
            -> any DetectorModel
        {
            let values = rows.values.filter(\.isFinite)
            return CarelessModel(
                mean: values.reduce(0, +) / Float(max(1, values.count)), columns: rows.columns)
        }

        func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel {
            CarelessModel(
                mean: artifact.bytes.loadUnaligned(as: Float.self), columns: Int(artifact.bytes[4]))
        }
    }

    private final class CarelessModel: DetectorModel {
        let mean: Float
        let columns: Int

        init(mean: Float, columns: Int) { (self.mean, self.columns) = (mean, columns) }

        func score(_ rows: FeatureRows, into scores: UnsafeMutableBufferPointer<Double>) throws {
            for row in 0..<rows.count {
                scores[row] = rows[row].reduce(0) { score, value in
                    let distance = abs(Double(min(max(value, -1e30), 1e30)) - Double(mean))
                    return value.isNaN ? score : score - distance
                }
            }
        }

        func encode() -> [UInt8] { withUnsafeBytes(of: mean, Array.init) + [UInt8(columns)] }
    }

    private func failure(of check: Check, _ detector: any Detector) throws -> String? {
        let stamp = try PluginFile(path: Built.forest).checkedStamp()
        let subject = Subject(detector: detector, stamp: stamp, settings: VerificationSettings()) { _ in }
        do {
            _ = try check.run(subject)
            return nil
        } catch let failure as CheckFailure {
            return failure.detail
        }
    }

    @Test func codesTakenForNumbersAreNoticed() throws {
        let failure = try #require(try failure(of: .categories, Careless()))
        #expect(failure == "the category 5.0 of 5 is not scored as a missing one")
    }

    @Test func weightsThatDoNotCountAreNoticed() throws {
        let failure = try #require(try failure(of: .weights, Careless()))
        #expect(failure.contains("when their weight is 0"))
    }
}
