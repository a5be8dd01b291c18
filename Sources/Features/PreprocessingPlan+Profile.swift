/// The features of a row as drift is measured of them: before scaling and encoding, one number each.
extension PreprocessingPlan {
    public struct ProfiledFeature: Sendable, Hashable {
        public let name: String
        /// Of a categorical feature: codes are 0..<codeCount, the last one for all categories without one of their own.
        public let codeCount: Int?
    }

    /// Those that the model sees, in the order in which `writeProfiled` writes them.
    public var profiled: [ProfiledFeature] {
        preprocessing.numeric.map { ProfiledFeature(name: $0.feature, codeCount: nil) }
            + preprocessing.categorical.map {
                ProfiledFeature(name: $0.feature, codeCount: $0.categories.count + 1)
            }
    }

    /// - Parameters:
    ///   - numeric: `UserWindow.featureCount` features.
    ///   - categories: `categoryCount` hashes; 0 is missing.
    ///   - values: A place for each of `profiled`; NaN is missing.
    public func writeProfiled(
        numeric: UnsafeBufferPointer<Float>, categories: UnsafeBufferPointer<UInt64>,
        into values: UnsafeMutableBufferPointer<Double>
    ) {
        let count = preprocessing.numeric.count
        precondition(values.count >= count + groups.count, "too few places")
        for column in 0..<count { values[column] = Double(numeric[source(ofColumn: column)]) }
        for (place, group) in groups.enumerated() {
            let hash = categories[group.source]
            values[count + place] = hash == 0 ? .nan : Double(number(of: hash, in: group))
        }
    }

    /// What a model makes of a row's categories: 1 or 0 for each of `FeatureSchema.categorical`.
    public struct KnownCategories: Sendable, Hashable {
        /// The model sees the feature.
        public var lookedAt = SIMD4<UInt8>()
        /// The row has a category that has no column of its own.
        public var unseen = SIMD4<UInt8>()
    }

    /// - Parameter categories: `categoryCount` hashes; 0 is missing.
    public func knownCategories(_ categories: UnsafeBufferPointer<UInt64>) -> KnownCategories {
        var known = KnownCategories()
        for group in groups {
            let hash = categories[group.source]
            known.lookedAt[group.source] = 1
            if hash != 0, number(of: hash, in: group) == group.categoryCount {
                known.unseen[group.source] = 1
            }
        }
        return known
    }
}
