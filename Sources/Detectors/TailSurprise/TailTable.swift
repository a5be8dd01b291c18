import Exact

/// The columns laid out for scoring: plain numbers, one after another. A row is scored without counting references and
/// without an allocation.
struct TailTable: Sendable {
    /// 1 / what usual columns would sum to; 0 without columns.
    let scale: Double
    private let law: TailLaw
    private let cells: [Cell]
    /// The values of all knots and places, and their surprises.
    private let numbers: [Float]
    private let lowLimit: Double

    private struct Cell {
        enum Kind { case silent, number, codes, sine, cosine }
        var kind = Kind.silent
        var weight: Double
        /// Of codes and places: where their numbers begin, and how many they are.
        var first = 0
        var count = 0
        var high = Side()
        var low = Side()
    }

    /// A `TailSide`: what its arithmetic needs, worked out once.
    private struct Side {
        /// Where its values begin; its surprises follow on them.
        var first = 0
        var count = 0
        var middle: Float = 0
        var end: Float = 0
        var top = 0.0
        /// Of values beyond the end where the tail does not go on.
        var outside = 0.0
        var goesOn = false
        /// By how much e grows from the shoulder to the end, and how far apart these are.
        var gain = 0.0
        var reach = 0.0
        /// e by ln(distance from the middle); NaN where the shoulder is the middle.
        var slope = Double.nan
    }

    init(_ columns: [TailColumn], lowLimit: Double, law: TailLaw = .excess) {
        self.law = law
        var numbers: [Float] = []
        numbers.reserveCapacity(columns.reduce(0) { $0 + $1.shape.numberCount })
        cells = columns.map { column in
            var cell = Cell(weight: column.weight)
            cell.first = numbers.count
            switch column.shape {
            case .empty: break
            case .cosine: cell.kind = .cosine
            case .number(let high, let low):
                cell.kind = .number
                cell.high = Self.side(high, &numbers)
                cell.low = Self.side(low, &numbers)
            case .codes(let surprises):
                cell.kind = .codes
                cell.count = surprises.count
                numbers += surprises
            case .sine(let places):
                cell.kind = .sine
                cell.count = places.count
                for place in places { numbers += [place.sine, place.cosine, place.surprise] }
            }
            return cell
        }
        self.numbers = numbers
        self.lowLimit = lowLimit
        let sum =
            switch law {
            case .square: columns.reduce(0) { $0 + $1.weight }
            case .excess: Double(columns.count)
            }
        scale = sum > 0 ? 1 / sum : 0
    }

    var columns: Int { cells.count }

    var sizeBytes: Int {
        cells.capacity * MemoryLayout<Cell>.stride + numbers.capacity * MemoryLayout<Float>.stride
    }

    func isCosine(_ column: Int) -> Bool { cells[column].kind == .cosine }

    /// What each column of a row adds beyond a usual value; 0 for a missing one.
    ///
    /// - Parameter row: As many values as there are columns.
    @inline(__always)
    func forEachExcess(_ row: UnsafePointer<Float>, _ body: (Int, Double) -> Void) {
        cells.withUnsafeBufferPointer { cells in
            numbers.withUnsafeBufferPointer { numbers in
                for column in cells.indices {
                    let next = column + 1 < cells.count ? row[column + 1] : .nan
                    let surprise = surprise(cells[column], numbers, row[column], next)
                    body(column, surprise.isNaN ? 0 : law.part(surprise, weight: cells[column].weight))
                }
            }
        }
    }

    /// e of a value of the first column; NaN where it says nothing.
    func surprise(_ value: Float) -> Double {
        numbers.withUnsafeBufferPointer { surprise(cells[0], $0, value, .nan) }
    }

    @inline(__always)
    private func surprise(
        _ cell: borrowing Cell, _ numbers: UnsafeBufferPointer<Float>, _ value: Float, _ next: Float
    ) -> Double {
        if value.isNaN { return .nan }
        switch cell.kind {
        case .silent, .cosine: return .nan
        case .number:
            let greatest = Float.greatestFiniteMagnitude
            let value = min(max(value, -greatest), greatest)
            let high = Self.surprise(cell.high, numbers, value)
            return max(high, min(Self.surprise(cell.low, numbers, -value), lowLimit))
        case .codes:
            // A number that is no code of a category is a missing one.
            guard let code = Int(exactly: value), code >= 0, code < cell.count else { return .nan }
            return Double(numbers[cell.first + code])
        case .sine:
            if next.isNaN { return .nan }
            for place in 0..<cell.count {
                let first = cell.first + 3 * place
                if numbers[first] == value, numbers[first + 1] == next { return Double(numbers[first + 2]) }
            }
            return TailColumn.unseenPlace
        }
    }

    /// - Parameter value: Finite. Below the middle: 0.
    /// - Returns: 0 to `TailSide.greatest`.
    @inline(__always)
    private static func surprise(
        _ side: borrowing Side, _ numbers: UnsafeBufferPointer<Float>, _ value: Float
    ) -> Double {
        if value < side.middle { return 0 }
        if value > side.end { return beyond(side, Double(value)) }
        var knot = side.first
        while numbers[knot] < value { knot += 1 }
        let upper = Double(numbers[knot + side.count])
        if numbers[knot] == value { return upper }
        let (low, high) = (Double(numbers[knot - 1]), Double(numbers[knot]))
        let lower = Double(numbers[knot - 1 + side.count])
        return lower + (upper - lower) * ((Double(value) - low) / (high - low))
    }

    private static func beyond(_ side: borrowing Side, _ value: Double) -> Double {
        guard side.goesOn else { return max(side.top, side.outside) }
        let (end, middle) = (Double(side.end), Double(side.middle))
        var surprise = side.top + side.gain * ((value - end) / side.reach)
        if !side.slope.isNaN {
            surprise = min(
                surprise, side.top + side.slope * DeterministicMath.log((value - middle) / (end - middle)))
        }
        return min(surprise, TailSide.greatest)
    }

    private static func side(_ side: TailSide, _ numbers: inout [Float]) -> Side {
        let last = side.values.count - 1
        var flat = Side(first: numbers.count, count: side.values.count)
        (flat.middle, flat.end) = (side.values[0], side.values[last])
        (flat.top, flat.outside) = (Double(side.surprises[last]), Double(side.outside))
        numbers += side.values
        numbers += side.surprises
        guard let shoulder = side.shoulder, flat.end > shoulder else { return flat }
        flat.goesOn = true
        let knot = side.values.firstIndex(of: shoulder)
        flat.gain = flat.top - Double(knot.map { side.surprises[$0] } ?? 0)
        flat.reach = Double(flat.end) - Double(shoulder)
        if shoulder > flat.middle {
            let middle = Double(flat.middle)
            flat.slope =
                flat.gain / DeterministicMath.log((Double(flat.end) - middle) / (Double(shoulder) - middle))
        }
        return flat
    }
}
