import Exact
import Testing

@Suite struct SelectionTests {
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    /// Of random values, of values of which most are equal, and of sorted ones: what sorting puts at a place stands there,
    /// with nothing above it before it and nothing below it behind it.
    @Test(arguments: [1, 2, 7, 13, 14, 200, 5_000], [1.0, 3, 1_000, 1e9])
    func whatStandsAtAPlaceIsWhatSortingPutsThere(count: Int, range: Double) {
        var random = Numbers(state: UInt64(count) ^ range.bitPattern)
        let values = (0..<count).map { _ in Double.random(in: -range...range, using: &random).rounded() }
        for values in [values, values.sorted(), values.sorted(by: >)] {
            let sorted = values.sorted()
            for place in Set([0, count / 4, count / 2, count - 1]) {
                var moved = values
                let found = moved.withUnsafeMutableBufferPointer { $0.moveIntoPlace(place) }
                #expect(found == sorted[place] && moved[place] == sorted[place])
                #expect(moved[..<place].allSatisfy { $0 <= found })
                #expect(moved[place...].allSatisfy { $0 >= found })
                #expect(moved.sorted() == sorted, "nothing is lost")
            }
        }
    }

    /// The middle of three is the worst pivot again and again: time stays bounded, and so does this test.
    @Test func anUnluckyOrderIsSortedInTheEnd() {
        // Ascending and descending turns, of which a median of three takes little off.
        let values: [UInt32] = (0..<20_000).map { (turn: UInt32) -> UInt32 in
            turn % 2 == 0 ? turn : 40_000 - turn
        }
        var moved = values
        let found = moved.withUnsafeMutableBufferPointer { $0.moveIntoPlace(15_000) }
        #expect(found == values.sorted()[15_000])
    }

    @Test func whatIsNotOrderedLosesNothing() {
        var values = (0..<100).map { $0 % 3 == 0 ? Double.nan : Double($0) }
        _ = values.withUnsafeMutableBufferPointer { $0.moveIntoPlace(50) }
        #expect(values.count { $0.isNaN } == 34)
        #expect(Set(values.filter { !$0.isNaN }).count == 66)
    }
}
