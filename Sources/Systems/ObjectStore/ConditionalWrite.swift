extension ObjectStore {
    /// Writes if the condition holds.
    ///
    /// - Returns: false when it does not; nothing was written then.
    public func putIfUnchanged(
        _ key: String, _ bytes: [UInt8], _ condition: PutCondition
    ) throws(ObjectStoreError) -> Bool {
        do {
            try put(key, bytes, if: condition)
            return true
        } catch {
            guard case .preconditionFailed = error else { throw error }
            return false
        }
    }
}
