import Exact

/// Values of a column, and for each row whether it has one and why not.
public struct ReadColumn<Value: Sendable>: Sendable {
    /// One a row; meaningless where the row has none.
    public let values: [Value]
    /// As the C code has them: 0 for a value.
    private let states: [UInt8]

    init(values: [Value], states: [UInt8]) {
        self.values = values
        self.states = states
    }

    /// A column in which every row is missing.
    init(missing placeholder: Value, count: Int) {
        values = Array(repeating: placeholder, count: count)
        states = Array(repeating: 1, count: count)
    }

    public func hasValue(_ row: Int) -> Bool { states[row] == 0 }

    /// Why a row has no value; nil when it has one, or none was meant.
    public func refusal(_ row: Int) -> ValueText.Refusal? { ValueText.Refusal(code: Int32(states[row])) }

    /// Whether every row has a value.
    public var isComplete: Bool { states.allSatisfy { $0 == 0 } }

    /// Whether some row holds what is no value.
    public var hasRefusals: Bool { states.contains { ValueText.Refusal(code: Int32($0)) != nil } }

    var firstWithoutValue: Int? { states.firstIndex { $0 != 0 } }
}
