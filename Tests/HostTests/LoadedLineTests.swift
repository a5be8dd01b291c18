import Testing
import Training

@testable import Host

/// The line that `etl` ends with.
@Suite struct LoadedLineTests {
    /// A row may be there twice in one file: an empty lake had none of it.
    @Test func aRepeatIsNotSaidToBeOfTheLake() {
        let result = Training.ETL.Result(sources: 1, transactions: 2, duplicates: 1, rejected: 3, labels: 4)
        #expect(Host.ETL.counted(result) == "1 files: 2 transactions, 1 repeated, 3 rejected, 4 labels")
    }
}
