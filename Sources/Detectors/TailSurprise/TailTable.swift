import DetectorAPI
import Exact

/// A payload ready to score: a row is scored off its bytes, from the first column to the last.
///
/// So a model takes no more memory than its bytes, is ready as soon as they are checked, and a user's model that comes from
/// the disk for one row is read once. A row is scored without counting references and without an allocation.
struct TailTable: Sendable {
    let columns: Int
    /// 1 / what usual columns would sum to; 0 without columns.
    let scale: Double
    let bytes: ArtifactBytes
    private let law: TailLaw
    private let lowLimit: Double

    init(_ payload: TailPayload) {
        self.init(
            ArtifactBytes(copying: payload.encode()),
            TailPayload.Check(
                columns: payload.columns.count, lowLimit: payload.lowLimit, law: payload.law,
                weights: payload.columns.reduce(0) { $0 + $1.weight }))
    }

    /// - Throws: `DetectorError.invalidArtifact`.
    init(checking bytes: ArtifactBytes) throws(DetectorError) {
        self.init(bytes, try TailPayload.check(bytes.bytes))
    }

    private init(_ bytes: ArtifactBytes, _ payload: TailPayload.Check) {
        self.bytes = bytes
        columns = payload.columns
        law = payload.law
        lowLimit = Double(payload.lowLimit)
        let sum =
            switch payload.law {
            case .square: payload.weights
            case .excess: Double(payload.columns)
            }
        scale = sum > 0 ? 1 / sum : 0
    }

    /// What each column of a row adds beyond a usual value; 0 for a missing one.
    ///
    /// - Parameters:
    ///   - row: As many values as there are columns.
    ///   - body: Told the column, what it adds, and whether it is a cosine, which adds nothing: its sine is the one before.
    @inline(__always)
    func forEachExcess(_ row: UnsafePointer<Float>, _ body: (Int, Double, Bool) -> Void) {
        guard let start = bytes.bytes.baseAddress else { return }
        var cell = start + TailPayload.headerSize
        for column in 0..<columns {
            let weight = Double(bitPattern: number(cell + 1))
            let isCosine = TailColumn.Tag(rawValue: number(cell)) == .cosine
            let surprise = read(&cell, column, of: row)
            body(column, surprise.isNaN ? 0 : law.part(surprise, weight: weight), isCosine)
        }
        withExtendedLifetime(bytes) {}
    }

    /// e of a value of the first column; NaN where it says nothing.
    func surprise(_ value: Float) -> Double {
        guard var cell = bytes.bytes.baseAddress.map({ $0 + TailPayload.headerSize }) else { return .nan }
        defer { withExtendedLifetime(bytes) {} }
        return withUnsafePointer(to: value) { read(&cell, 0, of: $0) }
    }

    /// e of a row's value of the column that starts at `cell`, which is then the next one's start.
    @inline(__always)
    private func read(
        _ cell: inout UnsafeRawPointer, _ column: Int, of row: UnsafePointer<Float>
    ) -> Double {
        let start = cell + TailPayload.columnSize
        let value = row[column]
        switch TailColumn.Tag(rawValue: number(cell)) {
        case nil, .empty, .cosine:
            cell = start
            return .nan
        case .number:
            let high = Side(start)
            let low = Side(start + high.size)
            cell = start + high.size + low.size
            return surprise(value, high, low)
        case .grouped:
            cell = start + Int(number(start) as UInt32)
            let sides = Self.sides(of: row, start)
            let high = Side(sides)
            return surprise(value, high, Side(sides + high.size))
        case .codes:
            let count = Int(number(start) as UInt32)
            cell = start + 4 + 4 * count
            // A number that is no code of a category is a missing one.
            guard let code = Int(exactly: value), code >= 0, code < count else { return .nan }
            return Double(float(start + 4 + 4 * code))
        case .sine:
            let count = Int(number(start) as UInt8)
            cell = start + 1 + 12 * count
            let next = column + 1 < columns ? row[column + 1] : .nan
            if value.isNaN || next.isNaN { return .nan }
            for place in stride(from: start + 1, to: cell, by: 12)
            where float(place) == value && float(place + 4) == next {
                return Double(float(place + 8))
            }
            return TailColumn.unseenPlace
        }
    }

    /// Of a number.
    @inline(__always)
    private func surprise(_ value: Float, _ high: Side, _ low: Side) -> Double {
        if value.isNaN { return .nan }
        let greatest = Float.greatestFiniteMagnitude
        let value = min(max(value, -greatest), greatest)
        return max(high.surprise(value), min(low.surprise(-value), lowLimit))
    }

    /// Where the two sides are for the code that the row has.
    @inline(__always)
    private static func sides(of row: UnsafePointer<Float>, _ start: UnsafeRawPointer) -> UnsafeRawPointer {
        let count = Int(number(start + 8) as UInt32)
        let ofAll = start + 12 + 4 * count
        guard let code = Int(exactly: row[Int(number(start + 4) as UInt32)]), code >= 0, code < count else {
            return ofAll
        }
        let place: UInt32 = number(start + 12 + 4 * code)
        return place == 0 ? ofAll : start + Int(place)
    }
}

/// A `TailSide` where it lies in a payload.
private struct Side {
    private let start: UnsafeRawPointer
    private let count: Int

    @inline(__always)
    init(_ start: UnsafeRawPointer) {
        self.start = start
        count = Int(number(start) as UInt8)
    }

    var size: Int { 9 + 8 * count }
    @inline(__always)
    private func value(_ knot: Int) -> Float { float(start + 1 + 8 * knot) }
    @inline(__always)
    private func surprise(_ knot: Int) -> Double { Double(float(start + 5 + 8 * knot)) }

    /// - Parameter value: Finite. Below the middle: 0.
    /// - Returns: 0 to `TailSide.greatest`.
    @inline(__always)
    func surprise(_ value: Float) -> Double {
        if value < self.value(0) { return 0 }
        if value > self.value(count - 1) { return beyond(Double(value)) }
        var knot = 0
        while self.value(knot) < value { knot += 1 }
        let upper = surprise(knot)
        if self.value(knot) == value { return upper }
        let (low, high) = (Double(self.value(knot - 1)), Double(self.value(knot)))
        let lower = surprise(knot - 1)
        return lower + (upper - lower) * ((Double(value) - low) / (high - low))
    }

    private func beyond(_ value: Double) -> Double {
        let top = surprise(count - 1)
        let (shoulder, outside) = (float(start + 1 + 8 * count), float(start + 5 + 8 * count))
        guard !shoulder.isNaN else { return max(top, Double(outside)) }
        let knot = (0..<count).first { self.value($0) == shoulder }
        // By how much e grows from the shoulder to the end.
        let gain = top - (knot.map { surprise($0) } ?? 0)
        let (middle, end) = (Double(self.value(0)), Double(self.value(count - 1)))
        let start = Double(shoulder)
        var e = top + gain * ((value - end) / (end - start))
        if start > middle {
            let slope = gain / DeterministicMath.log((end - middle) / (start - middle))
            e = min(e, top + slope * DeterministicMath.log((value - middle) / (end - middle)))
        }
        return min(e, TailSide.greatest)
    }
}

@inline(__always)
private func number<Number: FixedWidthInteger>(_ place: UnsafeRawPointer) -> Number {
    Number(littleEndian: place.loadUnaligned(as: Number.self))
}

@inline(__always)
private func float(_ place: UnsafeRawPointer) -> Float { Float(bitPattern: number(place)) }
