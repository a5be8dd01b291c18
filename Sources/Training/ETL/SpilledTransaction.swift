import Transactions

/// Transactions as bytes, for temporary files: written and read by one process.
///
///     4   size of what follows
///     4   number of the source
///     8   line of the source
///     32  event time, amount, latitude, longitude
///     1   label
///     ..  for each text field 2 bytes of size, 0xFFFF for a missing one, and the text
enum SpilledTransaction {
    static func encode(
        _ batch: TransactionBatch, _ row: Int, source: Int, line: Int, label: Int8,
        into bytes: inout [UInt8]
    ) {
        bytes.removeAll(keepingCapacity: true)
        append(UInt32(0), to: &bytes)
        append(UInt32(source), to: &bytes)
        append(Int64(line), to: &bytes)
        append(batch.timestampMilliseconds[row], to: &bytes)
        for number in [batch.amount[row], batch.latitude[row], batch.longitude[row]] {
            append(number.bitPattern, to: &bytes)
        }
        bytes.append(UInt8(bitPattern: label))
        for field in TextField.allCases {
            batch.withText(field, row) { text in
                append(text.map { UInt16($0.count) } ?? .max, to: &bytes)
                if let text { bytes.append(contentsOf: text) }
            }
        }
        let size = UInt32(bytes.count - 4)
        withUnsafeBytes(of: size) { bytes.replaceSubrange(0..<4, with: $0) }
    }

    private static func append(_ value: some FixedWidthInteger & BitwiseCopyable, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Reads records from pieces that are cut anywhere.
    struct Reader {
        private var carried: [UInt8] = []

        mutating func read(
            _ piece: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void
        ) throws {
            if carried.isEmpty {
                let rest = try whole(piece, body)
                carried.append(contentsOf: piece[rest...])
            } else {
                carried.append(contentsOf: piece)
                let rest = try carried.withUnsafeBytes { try whole($0, body) }
                carried.removeFirst(rest)
            }
        }

        /// - Returns: Where the first record starts that is not whole.
        private func whole(
            _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void
        ) throws -> Int {
            var start = 0
            while start + 4 <= bytes.count {
                let size = Int(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
                guard start + 4 + size <= bytes.count else { break }
                try body(UnsafeRawBufferPointer(rebasing: bytes[start + 4..<start + 4 + size]))
                start += 4 + size
            }
            return start
        }
    }

    /// One record, its bytes borrowed.
    struct Record {
        let source: Int
        let line: Int
        let timestampMilliseconds: Int64
        let label: Int8
        private let bytes: UnsafeRawBufferPointer
        /// Where each text's size stands.
        private var places = [Int](repeating: 0, count: TextField.allCases.count)

        private static let textsStart = 45

        init(_ bytes: UnsafeRawBufferPointer) {
            self.bytes = bytes
            source = Int(bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
            line = Int(bytes.loadUnaligned(fromByteOffset: 4, as: Int64.self))
            timestampMilliseconds = bytes.loadUnaligned(fromByteOffset: 12, as: Int64.self)
            label = bytes.loadUnaligned(fromByteOffset: 44, as: Int8.self)
            var place = Self.textsStart
            for field in TextField.allCases {
                places[field.rawValue] = place
                let size = bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self)
                place += 2 + (size == .max ? 0 : Int(size))
            }
        }

        /// nil: missing.
        func text(_ field: TextField) -> UnsafeBufferPointer<UInt8>? {
            let place = places[field.rawValue]
            let size = bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self)
            guard size != .max else { return nil }
            return UnsafeRawBufferPointer(rebasing: bytes[place + 2..<place + 2 + Int(size)])
                .assumingMemoryBound(to: UInt8.self)
        }

        var amount: Double { number(0) }

        private func number(_ index: Int) -> Double {
            Double(bitPattern: bytes.loadUnaligned(fromByteOffset: 20 + 8 * index, as: UInt64.self))
        }

        func append(to batch: inout TransactionBatch) {
            batch.append(
                timestampMilliseconds: timestampMilliseconds,
                amount: amount, latitude: number(1), longitude: number(2)
            ) { field, add in
                if let text = text(field) { add(text) }
            }
        }
    }
}
