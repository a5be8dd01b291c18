import Features
import Transactions

/// A brief header (`ArtifactHeader.brief`) as numbers in place of JSON, which takes ten times as long to read.
///
/// This machine's cache keeps it beside an artifact; what reads another form of it reads the artifact's JSON, so nothing
/// depends on it. Little-endian:
///
///     0   TextHash of everything behind it
///     8   UInt8 format, 1; UInt8 `FeatureSchema.version`, whose numeric features are told by their places
///     ..  the members, see `encode`; texts and lists with their counts before them
enum BriefHeader {
    static let format: UInt8 = 1

    /// - Returns: nil when a text or list is too long for it.
    static func encode(_ header: ArtifactHeader) -> [UInt8]? {
        var writer = Writer()
        writer.bytes.reserveCapacity(2_048)
        writer.append(UInt64(0))
        writer.append(format)
        writer.append(UInt8(truncatingIfNeeded: FeatureSchema.version))
        for text in [
            header.userID, header.detectorID, header.detectorVersion, header.detectorSHA256, header.jobID,
            header.payloadSHA256, header.trainingRange.from, header.trainingRange.to,
        ] { writer.append(text) }
        for number in [
            header.version, header.rowCount, Int(header.createdMilliseconds),
            header.preprocessing.schemaVersion,
        ] { writer.append(number) }
        writer.append(header.seed)
        for number in [
            header.parent, header.labelsAsOfMilliseconds.map(Int.init), header.preprocessing.coldBelow,
        ] {
            writer.append(number)
        }
        writer.append(header.threshold)
        writer.append(header.contamination)
        writer.append(header.uncappedThreshold.map { [$0] } ?? []) { $0.append($1) }
        writer.append(header.severity.map { [$0] } ?? []) { writer, severity in
            writer.append(severity.rows)
            writer.append(severity.scale)
            writer.append(severity.shape)
            writer.append(severity.scores) { $0.append($1) }
            writer.append(severity.ranks) { $0.append($1) }
        }
        writer.append(header.preprocessing.scaling.rawValue)
        writer.append(header.preprocessing.encoding.rawValue)
        writer.append(header.preprocessing.unseenAsUsual.map { [$0] } ?? []) { writer, names in
            writer.append(names) { $0.append($1) }
        }
        var place = 0
        writer.append(header.preprocessing.numeric) { writer, column in
            let found = FeatureSchema.index(of: column.feature, from: place)
            if let found { place = found + 1 }
            // A number that no place has: the name follows.
            writer.append(UInt16(clamping: found ?? Int(UInt16.max)))
            if found == nil { writer.append(column.feature) }
            for number in [column.centre, column.scale, column.usual] { writer.append(number) }
        }
        writer.append(header.preprocessing.categorical) { writer, group in
            writer.append(group.feature)
            writer.append(group.usual)
            writer.append(group.categories) { $0.append($1) }
        }
        guard writer.isWhole else { return nil }
        let hash = writer.bytes.withUnsafeBytes { TextHash.hash(UnsafeRawBufferPointer(rebasing: $0[8...])) }
        withUnsafeBytes(of: hash.littleEndian) { writer.bytes.replaceSubrange(0..<8, with: $0) }
        return writer.bytes
    }

    /// - Returns: nil for another form, or bytes that have changed.
    static func decode(_ bytes: UnsafeRawBufferPointer) -> ArtifactHeader? {
        guard bytes.count > 10, bytes[8] == format, Int(bytes[9]) == FeatureSchema.version else { return nil }
        var reader = Reader(bytes: bytes)
        guard
            (try? reader.number(UInt64.self)) == TextHash.hash(UnsafeRawBufferPointer(rebasing: bytes[8...]))
        else { return nil }
        reader.at = 10
        return try? reader.header()
    }

    private struct Writer {
        var bytes: [UInt8] = []
        var isWhole = true
        static let longest = Int(UInt16.max) - 1

        mutating func append(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
        }

        mutating func append(_ number: Double) { append(number.bitPattern) }

        mutating func append(_ number: Int?) {
            let isThere: UInt8 = number == nil ? 0 : 1
            append(isThere)
            append(number ?? 0)
        }

        mutating func append(_ text: String?) {
            guard let text else { return append(UInt16.max) }
            if text.utf8.count > Self.longest { isWhole = false }
            append(UInt16(clamping: text.utf8.count))
            bytes.append(contentsOf: text.utf8)
        }

        mutating func append<Element>(_ elements: [Element], _ write: (inout Writer, Element) -> Void) {
            if elements.count > Self.longest { isWhole = false }
            append(UInt16(clamping: elements.count))
            for element in elements { write(&self, element) }
        }
    }

    private struct Damaged: Error {}

    private struct Reader {
        let bytes: UnsafeRawBufferPointer
        var at = 0

        mutating func number<Number: FixedWidthInteger>(_: Number.Type) throws -> Number {
            let size = MemoryLayout<Number>.size
            guard size <= bytes.count - at else { throw Damaged() }
            defer { at += size }
            return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
        }

        mutating func integer() throws -> Int { try number(Int.self) }
        mutating func double() throws -> Double { Double(bitPattern: try number(UInt64.self)) }

        mutating func integerIfAny() throws -> Int? {
            let isThere = try number(UInt8.self) == 1
            let value = try integer()
            return isThere ? value : nil
        }

        mutating func textIfAny() throws -> String? {
            let count = Int(try number(UInt16.self))
            guard count < Int(UInt16.max) else { return nil }
            guard count <= bytes.count - at else { throw Damaged() }
            defer { at += count }
            return String(decoding: bytes[at..<at + count], as: UTF8.self)
        }

        mutating func text() throws -> String {
            guard let text = try textIfAny() else { throw Damaged() }
            return text
        }

        mutating func elements<Element>(_ element: (inout Reader) throws -> Element) throws -> [Element] {
            let count = Int(try number(UInt16.self))
            guard count <= bytes.count - at else { throw Damaged() }  // a byte each at least
            var elements: [Element] = []
            elements.reserveCapacity(count)
            for _ in 0..<count { elements.append(try element(&self)) }
            return elements
        }

        mutating func header() throws -> ArtifactHeader {
            let (userID, detectorID, detectorVersion) = (try textIfAny(), try text(), try text())
            let (detectorSHA256, jobID, payloadSHA256) = (try textIfAny(), try textIfAny(), try text())
            let range = ArtifactHeader.Range(from: try text(), to: try text())
            let (version, rowCount, created) = (try integer(), try integer(), try integer())
            let (schemaVersion, seed) = (try integer(), try number(UInt64.self))
            let (parent, labelsAsOf, coldBelow) =
                (try integerIfAny(), try integerIfAny(), try integerIfAny())
            let (threshold, contamination) = (try double(), try double())
            let uncapped = try elements { try $0.double() }.first
            let severity = try elements { try $0.severity() }.first
            guard let scaling = Preprocessing.Scaling(rawValue: try text()),
                let encoding = Preprocessing.Encoding(rawValue: try text())
            else { throw Damaged() }
            let unseen = try elements { try $0.elements { try $0.text() } }.first
            let numeric = try elements { try $0.numeric() }
            let categorical = try elements { reader in
                let (feature, usual) = (try reader.text(), try reader.text())
                return Preprocessing.CategoricalColumns(
                    feature: feature, categories: try reader.elements { try $0.text() }, usual: usual)
            }
            guard at == bytes.count else { throw Damaged() }
            var header = ArtifactHeader(
                userID: userID, version: version, detectorID: detectorID, detectorVersion: detectorVersion,
                detectorSHA256: detectorSHA256, parameters: [:], seed: seed,
                preprocessing: Preprocessing(
                    schemaVersion: schemaVersion, scaling: scaling, numeric: numeric,
                    categorical: categorical,
                    encoding: encoding, coldBelow: coldBelow, unseenAsUsual: unseen),
                threshold: threshold, severity: severity, contamination: contamination, trainingRange: range,
                rowCount: rowCount, metrics: [:], parent: parent, createdMilliseconds: Int64(created),
                jobID: jobID)
            header.payloadSHA256 = payloadSHA256
            header.uncappedThreshold = uncapped
            header.labelsAsOfMilliseconds = labelsAsOf.map(Int64.init)
            return header
        }

        private mutating func severity() throws -> SeverityTable {
            let (rows, scale, shape) = (try integer(), try double(), try double())
            let scores = try elements { try $0.double() }
            let ranks = try elements { try $0.integer() }
            guard
                let table = SeverityTable(
                    rows: rows, scores: scores, ranks: ranks, scale: scale, shape: shape)
            else { throw Damaged() }
            return table
        }

        private mutating func numeric() throws -> Preprocessing.NumericColumn {
            let place = Int(try number(UInt16.self))
            let isNamed = place == Int(UInt16.max)
            guard isNamed || place < FeatureSchema.all.count else { throw Damaged() }
            return Preprocessing.NumericColumn(
                feature: isNamed ? try text() : FeatureSchema.all[place].name, centre: try double(),
                scale: try double(), usual: try double())
        }
    }
}
