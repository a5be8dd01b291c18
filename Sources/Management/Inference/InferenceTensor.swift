import Exact
import Foundation

/// A column of one value a transaction, as the Open Inference Protocol sends it.
struct InferenceTensor {
    enum Values {
        case texts([ArraySlice<UInt8>])
        case reals([Double])
        case integers([Int64])
    }

    let name: String
    let values: Values

    var count: Int {
        switch values {
        case .texts(let texts): texts.count
        case .reals(let reals): reals.count
        case .integers(let integers): integers.count
        }
    }

    /// Writes a transaction's member; nothing where the text is empty or the number is NaN, which stand for missing.
    func write(_ row: Int, into json: inout JSONWriter) {
        switch values {
        case .texts(let texts) where texts[row].isEmpty: break
        case .texts(let texts):
            json.key(name)
            texts[row].withUnsafeBufferPointer { json.append(utf8: $0) }
        case .reals(let reals) where reals[row].isNaN: break
        case .reals(let reals):
            json.key(name)
            // Infinity is no number that a transaction can have; the parser says so.
            if reals[row].isFinite { json.append(reals[row]) } else { json.append("1e999") }
        case .integers(let integers):
            json.key(name)
            json.append(integers[row])
        }
    }
}

// MARK: - Reading

extension InferenceTensor {
    /// A tensor whose values stand in the JSON part, flat or nested.
    init(_ input: InferenceRequest.Input, data: [InferenceRequest.Value]) throws {
        name = input.name
        let flat = data.flatMap(\.flattened)
        switch input.datatype {
        case "BYTES":
            values = .texts(
                try flat.map { value in
                    guard case .text(let text) = value else { throw Self.wrong(input, "it holds texts") }
                    return Array(text.utf8)[...]
                })
        case "FP64", "FP32":
            values = .reals(
                try flat.map { value in
                    switch value {
                    case .integer(let integer): Double(integer)
                    case .real(let real): real
                    default: throw Self.wrong(input, "it holds numbers")
                    }
                })
        case "INT64", "INT32":
            values = .integers(
                try flat.map { value in
                    guard case .integer(let integer) = value else {
                        throw Self.wrong(input, "it holds whole numbers")
                    }
                    return integer
                })
        default: throw Self.unknown(input)
        }
        try check(input)
    }

    /// A tensor whose values follow the JSON part: little-endian, texts behind their lengths of four bytes.
    init(_ input: InferenceRequest.Input, bytes: ArraySlice<UInt8>) throws {
        name = input.name
        switch input.datatype {
        case "BYTES":
            var texts: [ArraySlice<UInt8>] = []
            var rest = bytes
            while !rest.isEmpty {
                guard rest.count >= 4 else { throw Self.wrong(input, "its last length is cut off") }
                let length = Int(Self.word(rest.prefix(4)))
                rest = rest.dropFirst(4)
                guard length <= rest.count else { throw Self.wrong(input, "its last text is cut off") }
                texts.append(rest.prefix(length))
                rest = rest.dropFirst(length)
            }
            values = .texts(texts)
        case "FP64":
            values = .reals(try Self.words(input, bytes, size: 8).map { Double(bitPattern: $0) })
        case "FP32":
            values = .reals(
                try Self.words(input, bytes, size: 4).map {
                    Double(Float(bitPattern: UInt32(truncatingIfNeeded: $0)))
                })
        case "INT64":
            values = .integers(try Self.words(input, bytes, size: 8).map { Int64(bitPattern: $0) })
        case "INT32":
            values = .integers(
                try Self.words(input, bytes, size: 4).map {
                    Int64(Int32(bitPattern: UInt32(truncatingIfNeeded: $0)))
                })
        default: throw Self.unknown(input)
        }
        try check(input)
    }

    private static func words(
        _ input: InferenceRequest.Input, _ bytes: ArraySlice<UInt8>, size: Int
    ) throws -> [UInt64] {
        guard bytes.count % size == 0 else { throw wrong(input, "its last value is cut off") }
        return stride(from: bytes.startIndex, to: bytes.endIndex, by: size).map {
            word(bytes[$0..<$0 + size])
        }
    }

    /// Little-endian.
    private static func word(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The shape is `[n]` or `[n, 1]`.
    private func check(_ input: InferenceRequest.Input) throws {
        guard input.shape.first == count, input.shape == [count] || input.shape == [count, 1] else {
            throw Self.wrong(input, "its shape is [\(count)] or [\(count), 1], as it holds \(count) values")
        }
    }

    static func wrong(_ input: InferenceRequest.Input, _ reason: String) -> Problem {
        .invalid("the input \(input.name) is wrong: \(reason)", field: "inputs.\(input.name)")
    }

    private static func unknown(_ input: InferenceRequest.Input) -> Problem {
        wrong(input, "'\(input.datatype)' is none of BYTES, FP64, FP32, INT64, INT32")
    }
}
