import ObjectStore

extension RuleStore {
    /// Has the newest key sign every version that an older one has signed. A version's SHA-256 is of its rules alone and
    /// stays what it was.
    ///
    /// - Returns: How many were signed, and the versions that no key has signed, or that are damaged: they stay as they are.
    public func resign() throws -> (signed: Int, refused: [Int]) {
        var result: (signed: Int, refused: [Int]) = (0, [])
        guard !keys.isEmpty else { return result }
        for version in stride(from: try newest(), to: 0, by: -1) {
            while let object = try objects.get(key(version), maximumSize: RuleLimits.sizeBytes) {
                guard let signer = RuleSet.signer(of: object.bytes, keys),
                    (try? RuleSet(decoding: object.bytes, version: version, keys: keys)) != nil
                else {
                    result.refused.append(version)
                    break
                }
                if signer == keys.newestSigner { break }
                let body = Array(object.bytes.prefix { $0 != UInt8(ascii: "\n") })
                let bytes = RuleSet.signed(body, with: keys)
                if try objects.putIfUnchanged(key(version), bytes, .unchanged(object.tag)) {
                    result.signed += 1
                    break
                }
            }
        }
        return result
    }
}
