import DetectorAPI
import Synchronization

extension Check {
    /// Tables that a detector will meet. It must fit them, or where `mayRefuse` say that it cannot.
    private struct Case {
        let name: String
        let table: SampleTable
        var mayRefuse = false
    }

    private static let cases: [Case] = {
        let nan = Float.nan
        var someMissing = SampleTable.normal(200, columns: 4)
        for index in stride(from: 0, to: someMissing.values.count, by: 3) { someMissing.values[index] = nan }
        var infinite = SampleTable.normal(200, columns: 4)
        for index in stride(from: 0, to: infinite.values.count, by: 7) {
            infinite.values[index] = index % 2 == 0 ? .infinity : -.infinity
        }
        var missingColumn = SampleTable.normal(100, columns: 3)
        for row in 0..<100 { missingColumn.values[3 * row + 1] = nan }
        let extremes = SampleTable.extremes(columns: 3)
        return [
            Case(name: "two rows", table: SampleTable([1, 2], columns: 1)),
            Case(name: "constant rows", table: SampleTable([Float](repeating: 5, count: 300), columns: 3)),
            Case(
                name: "duplicate rows",
                table: SampleTable(rows: (0..<200).map { $0 % 50 == 0 ? [7, 8, 9] : [1, 2, 3] })),
            Case(name: "missing values", table: someMissing),
            Case(name: "a missing column", table: missingColumn),
            Case(
                name: "nothing but missing values",
                table: SampleTable([Float](repeating: nan, count: 60), columns: 3),
                mayRefuse: true),
            Case(name: "infinite values", table: infinite),
            Case(name: "the largest and smallest values", table: extremes),
            Case(name: "one row", table: SampleTable([1, 2, 3], columns: 3), mayRefuse: true),
            Case(name: "no rows", table: SampleTable([], columns: 3), mayRefuse: true),
            Case(name: "2,000 columns", table: SampleTable.normal(50, columns: 2_000)),
        ]
    }()

    static let fits: [Check] = cases.map { item in
        Check("fit: \(item.name)") { subject in
            subject.note("fitting \(item.table)")
            guard let problem = problem(subject, item.table, mayRefuse: item.mayRefuse) else {
                return .passed("\(item.table.count) rows of \(item.table.columns)")
            }
            let smallest = item.table.shrunk {
                Check.problem(subject, $0, mayRefuse: item.mayRefuse || $0.count < 2) != nil
            }
            let last = Check.problem(subject, smallest, mayRefuse: item.mayRefuse) ?? problem
            throw CheckFailure("\(smallest): \(last)")
        }
    }

    /// Fits, scores the rows and such as nobody expects, and reads back what it wrote.
    private static func problem(_ subject: Subject, _ table: SampleTable, mayRefuse: Bool) -> String? {
        let mayRefuse =
            mayRefuse || subject.detector.info.needsLabels && table.count < Subject.leastLabelledRows
        do {
            let model = try subject.fit(table)
            guard model.columns == table.columns else { return "the model has \(model.columns) columns" }
            let scores = try model.scores(of: table)
            _ = try model.scores(of: SampleTable.extremes(columns: table.columns))
            let again = try subject.decode(model.encode())
            guard isSame(try again.scores(of: table), scores) else {
                return "its model scores otherwise after encoding and decoding"
            }
            return nil
        } catch DetectorError.invalidInput where mayRefuse {
            return nil
        } catch let failure as CheckFailure {
            return failure.detail
        } catch {
            return "throws: \(error)"
        }
    }

    static let description = Check("description and parameters") { subject in
        let info = subject.detector.info
        if let complaint = TrialRun.complaint(about: info) { throw CheckFailure(complaint) }
        guard !info.summary.isEmpty else { throw CheckFailure("it has no summary") }
        guard subject.detector.info == info else {
            throw CheckFailure("asked twice, it describes itself otherwise")
        }
        for parameter in info.parameters where parameter.meaning.isEmpty {
            throw CheckFailure("parameter \(parameter.name) does not say what it means")
        }
        let names = info.parameters.map { "\($0.name) = \($0.defaultValue)" }
        return .passed(
            "\(info.id) \(info.version): \(names.isEmpty ? "none" : names.joined(separator: ", "))")
    }

    /// Whatever the schema allows must work, or be refused with a reason.
    static let limits = Check("parameters at their limits") { subject in
        let table = SampleTable.normal(subject.smallTable, columns: 3)
        var tried = 0
        for parameter in subject.detector.info.parameters {
            for value in extremeValues(of: parameter) {
                subject.note("fitting with \(parameter.name) = \(value)")
                tried += 1
                do {
                    let model = try subject.fit(table, parameters: [parameter.name: value])
                    _ = try model.scores(of: table)
                } catch is DetectorError {
                    continue
                } catch let failure as CheckFailure {
                    throw CheckFailure("with \(parameter.name) = \(value), \(failure.detail)")
                } catch {
                    throw CheckFailure("with \(parameter.name) = \(value), fitting throws: \(error)")
                }
            }
        }
        return .passed("\(tried) values")
    }

    private static func extremeValues(of parameter: ParameterSpecification) -> [ParameterValue] {
        switch parameter.kind {
        case .integer(let range): [.integer(range.lowerBound), .integer(range.upperBound)]
        case .real(let range): [.real(range.lowerBound), .real(range.upperBound)]
        case .boolean: [.boolean(false), .boolean(true)]
        case .choice(let choices): choices.map { .text($0) }
        }
    }

    static let sameBytes = Check("same seed, same bytes") { subject in
        let detector = subject.detector
        let table = SampleTable.normal(500, columns: 4)
        let expected = try detector.fit(table, seed: 42).encode()
        let differs = { (table: SampleTable) -> Bool in
            guard let first = try? detector.fit(table, seed: 42).encode() else { return false }
            return (try? detector.fit(table, seed: 42).encode()) != first
        }
        if differs(table) {
            throw CheckFailure(
                "\(table.shrunk(while: differs)): fitted twice with seed 42, the artifacts differ")
        }
        // A detector holds no state, so several threads may fit at once.
        let failures = inThreads(4) { _ in
            (try? detector.fit(table, seed: 42).encode()) == expected ? nil : "the artifacts differ"
        }
        guard failures.isEmpty else {
            throw CheckFailure("fitted by 4 threads at once, the artifacts differ")
        }
        return .passed("\(table.count) rows of \(table.columns), one after another and 4 at once")
    }

    static let cancellation = Check("cancellation and progress") { subject in
        let table = SampleTable.normal(20_000, columns: 8)
        let told = Mutex<[Double]>([])
        _ = try subject.detector.fit(table, progress: { part in told.withLock { $0.append(part) } })
        let parts = told.withLock { $0 }
        if let part = parts.first(where: { !(0...1).contains($0) }) {
            throw CheckFailure("progress was told \(part), which is not from 0 to 1")
        }
        if let index = parts.indices.dropFirst().first(where: { parts[$0] < parts[$0 - 1] }) {
            throw CheckFailure("progress went back from \(parts[index - 1]) to \(parts[index])")
        }
        do {
            _ = try subject.detector.fit(table, isCancelled: { true })
        } catch DetectorError.cancelled {
            return .passed("progress told \(parts.count) times")
        } catch {
            throw CheckFailure("cancelled, it throws \(error) and not DetectorError.cancelled")
        }
        throw CheckFailure("told to stop, it fits \(table.count) rows of \(table.columns) to the end")
    }
}
