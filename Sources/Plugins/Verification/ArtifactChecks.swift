import DetectorAPI

extension Check {
    static let roundTrip = Check("encode and decode") { subject in
        let model = try subject.fit(SampleTable.normal(1_000, columns: 5))
        let rows = SampleTable(
            SampleTable.normal(500, columns: 5, seed: 2).values + SampleTable.extremes(columns: 5).values,
            columns: 5)
        let bytes = model.encode()
        guard model.encode() == bytes else { throw CheckFailure("encoded twice, the artifacts differ") }
        let again = try subject.decode(bytes)
        guard again.columns == model.columns else {
            throw CheckFailure("of \(model.columns) columns \(again.columns) come back")
        }
        let (before, after) = (try model.scores(of: rows), try again.scores(of: rows))
        if let row = before.indices.first(where: { before[$0].bitPattern != after[$0].bitPattern }) {
            throw CheckFailure("\(rows[row]) scores \(before[row]), and \(after[row]) after decoding")
        }
        guard again.encode() == bytes else {
            throw CheckFailure("decoded and encoded, the artifact is another")
        }
        if let explaining = model as? any Explaining {
            guard let other = again as? any Explaining,
                other.expectedScore.bitPattern == explaining.expectedScore.bitPattern
            else {
                throw CheckFailure("after decoding it explains no more, or against another expected score")
            }
        }
        return .passed("\(rows.count) rows score the same bits, \(bytes.count) bytes")
    }

    /// Decoding whatever the bytes hold ends in a model that can be scored or in an error.
    static let damage = Check("damaged artifacts") { subject in
        let bytes = try subject.fit(SampleTable.normal(subject.smallTable, columns: 3)).encode()
        var generator = SeededGenerator(seed: subject.settings.seed)
        var accepted = 0
        for number in 0..<subject.settings.mutations {
            let mutation = Mutation(of: bytes.count, using: &generator)
            subject.note("artifact \(number): of \(bytes.count) bytes, \(mutation)")
            do {
                let model = try subject.decode(mutation.applied(to: bytes))
                accepted += 1
                try score(model, subject)
            } catch is DetectorError {
                continue
            } catch let failure as CheckFailure {
                throw CheckFailure(
                    "of \(bytes.count) bytes, \(mutation): it is accepted, and \(failure.detail)")
            } catch {
                throw CheckFailure("of \(bytes.count) bytes, \(mutation): throws \(error), no DetectorError")
            }
        }
        return .passed("\(subject.settings.mutations) of them; \(accepted) are models, the others refused")
    }

    private static func score(_ model: any DetectorModel, _ subject: Subject) throws {
        guard (1...65_536).contains(model.columns) else { throw CheckFailure("has \(model.columns) columns") }
        let rows =
            model.columns <= 64
            ? SampleTable.extremes(columns: model.columns)
            : SampleTable([Float](repeating: .nan, count: model.columns), columns: model.columns)
        _ = try model.scores(of: rows)
        _ = model.encode()
    }
}

/// A way to damage an artifact. Numbers of 1 to 8 bytes are set to what breaks arithmetic as often as to noise.
private struct Mutation: CustomStringConvertible {
    enum Kind {
        case truncated(Int)
        case extended(Int)
        case set(offset: Int, size: Int, value: UInt64)
        case swapped(Int, Int, size: Int)
    }

    let kinds: [Kind]

    init(of size: Int, using generator: inout SeededGenerator) {
        let wild: [UInt64] = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0x8000_0000, .max, .max - 1, 1 << 63]
        let floats: [UInt64] = [
            Double.nan.bitPattern, Double.infinity.bitPattern, UInt64(Float.nan.bitPattern),
        ]
        func offset() -> Int {
            // Half of them in the first bytes, where headers are.
            generator.below(generator.below(2) == 0 ? min(size, 64) : size)
        }
        kinds = (0...generator.below(3)).map { _ in
            switch generator.below(10) {
            case 0: return .truncated(generator.below(size + 1))
            case 1: return .extended(1 + generator.below(64))
            case 2: return .swapped(offset(), offset(), size: 1 << generator.below(4))
            case 3: return .set(offset: offset(), size: 1 << generator.below(4), value: generator.next())
            case 4: return .set(offset: offset(), size: 8, value: floats[generator.below(floats.count)])
            default:
                return .set(
                    offset: offset(), size: 1 << generator.below(4), value: wild[generator.below(wild.count)])
            }
        }
    }

    func applied(to original: [UInt8]) -> [UInt8] {
        var bytes = original
        for kind in kinds {
            switch kind {
            case .truncated(let count): bytes.removeLast(max(0, bytes.count - count))
            case .extended(let count): bytes += (0..<count).map { UInt8(truncatingIfNeeded: $0) }
            case .set(let offset, let size, let value):
                for index in 0..<size where offset + index < bytes.count {
                    bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
                }
            case .swapped(let a, let b, let size):
                for index in 0..<size where max(a, b) + index < bytes.count {
                    bytes.swapAt(a + index, b + index)
                }
            }
        }
        return bytes
    }

    var description: String {
        kinds.map { kind in
            switch kind {
            case .truncated(let count): "cut to \(count)"
            case .extended(let count): "\(count) more at the end"
            case .set(let offset, let size, let value):
                "\(size) at \(offset) set to 0x\(String(value & (UInt64.max >> (64 - 8 * UInt64(size))), radix: 16))"
            case .swapped(let a, let b, let size): "\(size) at \(a) and at \(b) swapped"
            }
        }.joined(separator: ", ")
    }
}
