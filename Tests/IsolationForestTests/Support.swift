import CForestKernels
import DetectorAPI
import TestTables

@testable import IsolationForest

extension Table {
    func context(_ given: [String: ParameterValue] = [:], seed: UInt64 = 1) throws -> FitContext {
        try context(IsolationForest().info, given, seed: seed)
    }

    func fit(_ given: [String: ParameterValue] = [:], seed: UInt64 = 1) throws -> any DetectorModel {
        try withRows { rows in
            try IsolationForest().fit(rows, labels: nil, context: context(given, seed: seed))
        }
    }
}

extension VectorUnit {
    /// All that this processor has; the others are named once.
    static let ofThisProcessor: [VectorUnit] = [portable, .avx2, .avx512, .neon].filter { unit in
        if unit.supported == 0 {
            print(
                "isolation forest: this processor has no \(String(cString: unit.cName)), its kernels were not run"
            )
        }
        return unit.supported != 0
    }
}

extension ForestWalk {
    static let all = VectorUnit.ofThisProcessor.map(ForestWalk.init)
}

extension GrowerLoops {
    static let all = VectorUnit.ofThisProcessor.map(GrowerLoops.init)
}
