import Foundation
import Lake
import Logging
import ObjectStore
import Testing
import Transactions

@testable import Outcomes

/// The book says what the lake says, whoever changes that.
@Suite struct LabelBookTests {
    private let folder: TemporaryFolder
    private let lake: DirectoryObjectStore

    init() throws {
        folder = try TemporaryFolder()
        lake = folder.store("lake")
    }

    private func label(_ id: String, _ isFraud: Bool = true) -> Label {
        Label(
            transactionID: id, isFraud: isFraud, knownMilliseconds: firstDay.startMilliseconds, source: "test"
        )
    }

    private func book(_ badFiles: BadFiles = .fail) -> LabelBook {
        LabelBook(
            lake: lake, badFiles: badFiles, checkInterval: .zero,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func standing(_ id: String, _ book: LabelBook) throws -> Bool? {
        try book.standing(of: [TextHash.hash(id)]).values.first?.isFraud
    }

    @Test func whatAFileNoLongerSaysIsForgotten() throws {
        let files = LabelFiles(lake: lake)
        try files.write([label("x"), label("y")], name: "raw-a", isReplacing: true)
        let book = book()
        #expect(try book.take([label("x"), label("y")], name: "api").repeated == 2)
        // Replaced: y alone is left.
        try files.write([label("y")], name: "raw-a", isReplacing: true)
        #expect(try standing("x", book) == nil)
        #expect(try standing("y", book) == true)
        #expect(try book.take([label("x")], name: "api").new == 1)
        #expect(try book.take([label("x")], name: "api").repeated == 1)
        // Removed.
        try lake.delete("labels/\(firstDay.path)/raw-a.parquet")
        #expect(try standing("y", book) == nil)
        #expect(try standing("x", book) == true)
        #expect(try book.take([label("y")], name: "api").new == 1)
        #expect(try LabelIndex(files, asOf: .max).count == 2)
    }

    @Test func aDamagedFileIsLeftOutAndTheOthersAreKnown() throws {
        try LabelFiles(lake: lake).write([label("x")], name: "sound")
        let key = "labels/2026/01/05/bad.parquet"
        try lake.put(key, (0..<500).map { UInt8($0 * 7 % 251) }, if: .always)
        let failing = book()
        let error = #expect(throws: LakeError.self) { try failing.take([label("y")], name: "api") }
        #expect("\(String(describing: error))".contains("bad.parquet"))

        let skipping = book(.skip)
        #expect(try skipping.take([label("x")], name: "api").repeated == 1)
        #expect(try skipping.take([label("y")], name: "api").new == 1)
        #expect(try standing("y", skipping) == true)
        // Once it is mended it counts, and without it the other book goes on.
        try lake.delete(key)
        #expect(try failing.take([label("y")], name: "api").repeated == 1)
        try LabelFiles(lake: lake).write([label("z", false)], name: "raw", isReplacing: true)
        try lake.put(
            key, try #require(try lake.get("labels/\(firstDay.path)/raw.parquet")).bytes, if: .always)
        try lake.delete("labels/\(firstDay.path)/raw.parquet")
        #expect(try standing("z", skipping) == false)
        #expect(try standing("z", failing) == false)
    }
}
