import DetectorAPI
import TestTables

@testable import TailSurprise

extension Table {
    func fit(
        _ given: [String: ParameterValue] = [:], seed: UInt64 = 1, columns: [FeatureColumn] = []
    ) throws -> any DetectorModel {
        let context = FitContext(
            seed: seed, parameters: try TailSurprise().info.checked(given), columns: columns)
        return try withRows { try TailSurprise().fit($0, labels: nil, context: context) }
    }
}
