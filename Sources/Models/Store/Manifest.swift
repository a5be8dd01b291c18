import Exact

/// What is active for the tenants of one shard, and the newest part of their history.
struct Manifest {
    struct Entry {
        /// The newest changes, oldest first; the last one says what is active. Never empty.
        var changes: [ModelChange]
        /// So many older ones are in the tenant's history objects.
        var folded: Int
    }

    /// By user id in UTF-8, so that the order is the same everywhere. The global manifest has one entry.
    var entries: [Tenant: Entry] = [:]

    func active(_ tenant: Tenant) -> ActiveModel? {
        guard let last = entries[tenant]?.changes.last, let version = last.to else { return nil }
        return ActiveModel(
            version: version, sha256: last.sha256.flatMap { ArtifactHash(hexadecimal: $0) },
            sequence: last.sequence, place: last.place)
    }

    // MARK: JSON

    /// Canonical: entries and members in the order of their names, an entry a line.
    var json: [UInt8] {
        var json = JSONWriter()
        json.append(#"{"entries":{"#)
        let sorted = entries.map { (name: $0.manifestName, entry: $1) }.sorted {
            $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
        }
        for (index, (name, entry)) in sorted.enumerated() {
            json.append(index == 0 ? "\n" : ",\n")
            json.append(text: name)
            json.append(#":{"changes":"#)
            Self.write(entry.changes, to: &json)
            json.append(#","folded":"#)
            json.append(entry.folded)
            json.append("}")
        }
        json.append("\n}}\n")
        return json.bytes
    }

    /// - Parameter isGlobal: The one entry is the global model's.
    init(json: UnsafeRawBufferPointer, isGlobal: Bool) throws {
        var reader = JSONReader(json)
        try reader.object { reader, name in
            guard case "entries" = name else { return try reader.skip() }
            try reader.object { reader, name in
                let name = try name.text()
                let tenant: Tenant
                if isGlobal {
                    guard name == Tenant.global.manifestName else {
                        throw JSONReader.Malformed(description: "'\(name)' is not the global model")
                    }
                    tenant = .global
                } else {
                    guard let id = percentDecoded(name) else {
                        throw JSONReader.Malformed(description: "'\(name)' is no user id")
                    }
                    tenant = .user(id)
                }
                entries[tenant] = try Self.entry(of: tenant, from: &reader)
            }
        }
        try reader.end()
    }

    init() {}

    private static func entry(of tenant: Tenant, from reader: inout JSONReader) throws -> Entry {
        var entry = Entry(changes: [], folded: 0)
        try reader.object { reader, name in
            switch name {
            case "changes": entry.changes = try readChanges(of: tenant, from: &reader)
            case "folded": entry.folded = try reader.integer()
            default: try reader.skip()
            }
        }
        // Leaves room for the changes of the entry behind those that are folded.
        guard !entry.changes.isEmpty, (0..<1 << 30).contains(entry.folded) else {
            throw JSONReader.Malformed(description: "'\(tenant.manifestName)' has no changes")
        }
        entry.changes.number(after: entry.folded)
        return entry
    }

    // MARK: Changes, here and in history objects

    static func write(_ changes: [ModelChange], to json: inout JSONWriter) {
        json.append("[")
        for (index, change) in changes.enumerated() {
            json.append(index == 0 ? #"{"by":"# : #",{"by":"#)
            json.append(text: change.by)
            if let gate = change.gate {
                json.append(#","gate":"#)
                json.append(gate: gate)
            }
            if let from = change.from {
                json.append(#","from":"#)
                json.append(from)
            }
            if let place = change.place {
                json.append(#","pack":["#)
                json.append(text: place.pack)
                for number in [place.offset, place.sizeBytes] {
                    json.append(",")
                    json.append(number)
                }
                json.append("]")
            }
            json.append(#","reason":"#)
            json.append(text: change.reason)
            if let sha256 = change.sha256 {
                json.append(#","sha256":"#)
                json.append(text: sha256)
            }
            json.append(#","timeMilliseconds":"#)
            json.append(change.timeMilliseconds)
            if let version = change.to {
                json.append(#","to":"#)
                json.append(version)
            }
            json.append("}")
        }
        json.append("]")
    }

    /// The changes without their numbers in the sequence.
    static func readChanges(of tenant: Tenant, from reader: inout JSONReader) throws -> [ModelChange] {
        var changes: [ModelChange] = []
        try reader.array { reader in
            var change = ModelChange(
                userID: tenant.userID, sequence: 0, by: "", reason: "", timeMilliseconds: 0)
            try reader.object { reader, name in
                switch name {
                case "by": change.by = try reader.text()
                case "gate": change.gate = try reader.elements { try GateCheck(from: &$0) }
                case "from": change.from = try reader.integer(in: ModelNumbers.versions)
                case "pack": change.place = try PackPlace(from: &reader)
                case "reason": change.reason = try reader.text()
                case "sha256": change.sha256 = try reader.text()
                case "timeMilliseconds": change.timeMilliseconds = Int64(try reader.integer())
                case "to": change.to = try reader.integer(in: ModelNumbers.versions)
                default: try reader.skip()
                }
            }
            changes.append(change)
        }
        return changes
    }
}

extension PackPlace {
    /// `[key, offset, size]`
    fileprivate init(from reader: inout JSONReader) throws {
        var pack = ""
        var numbers: [Int] = []
        var count = 0
        try reader.array { reader in
            if count == 0 { pack = try reader.text() } else { numbers.append(try reader.integer()) }
            count += 1
        }
        guard numbers.count == 2,
            let place = PackPlace(pack: pack, offset: numbers[0], sizeBytes: numbers[1])
        else { throw JSONReader.Malformed(description: "'pack' is no place in a pack") }
        self = place
    }
}

extension [ModelChange] {
    /// Gives the changes the numbers that follow `count`.
    mutating func number(after count: Int) {
        for index in indices { self[index].sequence = count + index + 1 }
    }

    /// 0: they name none.
    var highestVersion: Int { reduce(0) { Swift.max($0, $1.from ?? 0, $1.to ?? 0) } }
}
