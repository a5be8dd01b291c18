/// A version as people name it: by its number, or by what it is.
public enum VersionName: Sendable, Hashable, CustomStringConvertible {
    /// `3`, `v3`
    case number(Int)
    /// The active one.
    case champion
    /// The newest that is stored, if it is not the active one.
    case challenger
    /// The one that was active before the active one: what a roll-back goes to.
    case previous

    /// nil: it names no version.
    public init?(parsing text: String) {
        switch text {
        case "champion": self = .champion
        case "challenger": self = .challenger
        case "previous": self = .previous
        default:
            let digits = text.hasPrefix("v") ? text.dropFirst() : text[...]
            guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let number = Int(digits), ModelNumbers.versions.contains(number)
            else { return nil }
            self = .number(number)
        }
    }

    public var description: String {
        switch self {
        case .number(let number): "v\(number)"
        case .champion: "champion"
        case .challenger: "challenger"
        case .previous: "previous"
        }
    }
}

extension Promotion {
    /// The number of the version that is meant, now.
    ///
    /// - Throws: `ModelLoadError.unnamed` when nothing is; what reading the catalogue and the store throws.
    public func version(named name: VersionName, of tenant: Tenant) throws -> Int {
        let found: Int?
        switch name {
        case .number(let number): found = number
        case .champion: found = try catalogue.active(tenant)
        case .challenger:
            let active = try catalogue.active(tenant)
            found = try store.versions(of: tenant).last.flatMap { $0 == active ? nil : $0 }
        case .previous:
            // Another artifact under the active version's number is no version to go back to.
            let last = try catalogue.changes(of: tenant).last { $0.from != $0.to }
            // Where nothing is active, it was the one that was taken away.
            found = last?.from
        }
        guard let found else {
            throw ModelLoadError.unnamed("\(name)", tenant: tenant.description)
        }
        return found
    }
}
