import DetectorAPI
import TestTables

@testable import ZScoreBaseline

extension Table {
    func fit(_ given: [String: ParameterValue] = [:], seed: UInt64 = 1) throws -> any DetectorModel {
        let context = FitContext(
            seed: seed, parameters: try ZScoreBaseline().info.checked(given), columns: [])
        return try withRows { try ZScoreBaseline().fit($0, labels: nil, context: context) }
    }
}
