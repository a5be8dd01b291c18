import Lake

/// What a scan has not used, in sentences: rows, days without files, files that are no part of the lake.
struct LakeNotes {
    let lines: [String]

    /// - Throws: the store's own error.
    init(_ reader: LakeReader, _ days: ClosedRange<LakeDay>, _ history: History) throws {
        var lines = history.reading.notes + history.passedOver.notes
        if history.strayRows > 0 {
            lines.append(
                "\(history.strayRows) rows in files of these days have a time outside of them and of the warm-up days"
            )
        }
        let files = try reader.files(in: days)
        let covered = Set(files.map(\.day))
        let bare = days.filter { !covered.contains($0) }
        if !bare.isEmpty {
            let shown = bare.prefix(5).map(\.description).joined(separator: ", ")
            lines.append(
                "\(bare.count) of \(days.count) days have no file: \(shown)\(bare.count > 5 ? ", ..." : "")")
            if covered.isEmpty { lines += try Self.whatThereIs(reader) }
            let unread = try reader.unreadKeys()
            if !unread.isEmpty {
                lines.append(
                    "not read, as no part of the lake, processed/yyyy/mm/dd/NAME.parquet: "
                        + unread.joined(separator: ", "))
            }
        }
        self.lines = lines
    }

    private static func whatThereIs(_ reader: LakeReader) throws -> [String] {
        let all = try reader.days()
        if let first = all.first, let last = all.last { return ["it has files from \(first) to \(last)"] }
        let keys = try reader.someKeys()
        return [
            keys.isEmpty
                ? "it is empty: there is nothing at \(reader.location)"
                : "it has no days at all; what is there: \(keys.joined(separator: ", "))"
        ]
    }
}
