import Testing

@testable import Lake

/// Files of other writers: every type that a column may have. `Fixtures/make_fixtures.py` writes them.
@Suite struct ForeignFileTests {
    private func withBatch(_ columns: String..., body: (RecordBatch) throws -> Void) throws {
        let (reader, _) = lake(of: try fixture("types.parquet"))
        try reader.scan(days: oneDay, columns: columns, body)
    }

    private func texts(_ batch: RecordBatch, _ column: String) throws -> [String?] {
        let texts = try batch.texts(column)
        return (0..<batch.count).map { texts[$0] }
    }

    @Test(arguments: [
        ("text", ["grüße", "", nil]), ("large_text", ["a", nil, "ccc"]),
        ("view", ["short", "a text that is too long to be inlined", nil]), ("dictionary", ["x", "y", "x"]),
        ("dictionary_null", ["x", nil, "x"]), ("int8", ["-128", "127", nil]),
        ("int64", ["-9223372036854775808", "9223372036854775807", nil]),
        ("uint64", ["0", "18446744073709551615", nil]), ("after_nested", ["7", "8", "9"]),
        ("binary", ["\u{0}\u{FFFD}", "", nil]),
    ])
    func readsTexts(_ column: String, _ expected: [String?]) throws {
        try withBatch(column) { batch throws in #expect(try texts(batch, column) == expected) }
    }

    @Test(arguments: [
        ("int8", [-128, 127]), ("int16", [-32768, 32767]), ("int32", [-2_147_483_648, 2_147_483_647]),
        ("uint8", [0, 255]), ("uint16", [0, 65535]), ("uint32", [0, 4_294_967_295]),
        ("uint64", [0, 0x1p64]), ("half", [0.5, -2]), ("float", [0.5, .infinity]),
        ("double", [0.1, -0.0]), ("decimal", [12.34, -0.01]), ("decimal256", [12.34, -0.01]),
        ("bool", [1, 0]),
    ])
    func readsNumbersAndNulls(_ column: String, _ expected: [Double]) throws {
        try withBatch(column) { batch throws in
            let reals = try batch.reals(column)
            #expect(reals.prefix(2).map(\.bitPattern) == expected.map(\.bitPattern))
            #expect(reals[2].isNaN)
        }
    }

    @Test(arguments: [("empty_group", ["a", "b", "a", "b"]), ("empty", [])])
    func rowGroupsMayBeEmpty(_ name: String, _ expected: [String]) throws {
        let (reader, _) = lake(of: try fixture("\(name).parquet"))
        var users: [String?] = []
        try reader.scan(days: oneDay, columns: ["user_id", "amount"]) { batch throws in
            users += try texts(batch, "user_id")
        }
        #expect(users == expected)
    }

    @Test func readsIntegersAndBooleans() throws {
        try withBatch("int64", "whole_double", "bool", "uint64", "double", "after_nested", "float") {
            batch throws in
            #expect(try batch.integers("int64") == NullableColumn([.min, .max, nil], nullAs: 0))
            #expect(try batch.integers("whole_double") == NullableColumn([1, 0, nil], nullAs: 0))
            #expect(try batch.integers("bool") == NullableColumn([1, 0, nil], nullAs: 0))
            #expect(try batch.booleans("bool") == NullableColumn([true, false, nil], nullAs: false))
            #expect(try batch.booleans("whole_double") == NullableColumn([true, false, nil], nullAs: false))
            for (column, row) in [("uint64", 1), ("double", 0), ("float", 0)] {
                #expect { try batch.integers(column) } throws: { error in
                    guard case LakeError.badValue(_, column, row, _) = error else { return false }
                    return true
                }
            }
            #expect(throws: LakeError.self) { try batch.booleans("after_nested") }
        }
    }

    @Test(
        arguments: [
            ("seconds", [1_527_856_200_000, -1000, 1_527_856_200_000]),
            ("milliseconds", [1_527_856_200_000, -1000, 1_527_856_200_000]),
            ("microseconds", [1_527_856_200_250, -1, 1_527_856_200_250]),
            ("nanoseconds", [1_527_856_200_250, -1, 1_527_856_200_250]),
            ("time_text", [1_527_856_200_250, 1_527_856_200_250, 1_527_856_200_250]),
            ("date", [1_527_811_200_000, -86_400_000, 1_527_811_200_000]),
        ] as [(String, [Int64])])
    func readsTimes(_ column: String, _ expected: [Int64]) throws {
        try withBatch(column) { batch throws in #expect(try batch.timestamps(column) == expected) }
    }

    @Test func aColumnOfNothingButNullsIsMissing() throws {
        let (reader, _) = lake(of: try fixture("nulls.parquet"))
        try reader.scan(days: oneDay, columns: ["text", "nothing"]) { batch throws in
            #expect(try texts(batch, "nothing") == [nil, nil])
            #expect(try batch.reals("nothing").allSatisfy { $0.isNaN })
            #expect(try batch.labels("nothing") == [nil, nil])
            let times = try batch.readTimestamps("nothing")
            #expect(!times.hasValue(0) && times.refusal(0) == nil)
        }
    }

    @Test func timesOfOldSparkFilesReachFurtherThanNanoseconds() throws {
        let (reader, _) = lake(of: try fixture("int96.parquet"))
        try reader.scan(days: oneDay, columns: ["timestamp"]) { batch throws in
            #expect(try batch.timestamps("timestamp") == [1_527_856_200_250, -1, 253_402_214_400_000])
        }
    }

    @Test func valuesThatAreNoTimesAreNamed() throws {
        try withBatch("time_null", "bad_time_text", "text", "bool", "double", "epoch") { batch throws in
            let wrong = [("time_null", 2), ("bad_time_text", 2), ("double", 0), ("epoch", 1), ("text", 0)]
            for (column, row) in wrong {
                #expect { try batch.timestamps(column) } throws: { error in
                    guard case LakeError.badValue(_, column, row, _) = error else { return false }
                    return "\(error)".contains("part-0.parquet") && "\(error)".contains("row \(row)")
                }
            }
            #expect { try batch.timestamps("bool") } throws: { error in
                guard case LakeError.wrongType(_, "bool", _) = error else { return false }
                return true
            }
        }
    }

    @Test func otherTypesAreRefused() throws {
        try withBatch("text", "seconds", "bool") { batch throws in
            #expect(throws: LakeError.self) { try batch.reals("text") }
            #expect(throws: LakeError.self) { try batch.integers("seconds") }
            #expect(throws: LakeError.self) { try batch.texts("bool") }
        }
        for nested in ["list", "struct"] {
            #expect { try withBatch(nested) { _ in } } throws: { error in
                guard case LakeError.wrongType(_, nested, _) = error else { return false }
                return true
            }
        }
    }
}
