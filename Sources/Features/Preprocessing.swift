/// One encoded column: what a detector sees, and the schema feature that it came from.
public struct FeatureColumnInfo: Sendable, Hashable {
    /// `amount`, `category=grocery`, `category=other`; `category` for a column of codes.
    public let name: String
    /// Position of the feature in `FeatureSchema.all`.
    public let feature: Int
    /// The category that the column stands for; nil for a number or codes. `Preprocessing.pooled` stands for all rare
    /// ones.
    public let category: String?
    /// Of a column of codes: they are 0..<cardinality, the last one the pool's. nil for any other column.
    public let cardinality: Int?

    public init(name: String, feature: Int, category: String?, cardinality: Int? = nil) {
        self.name = name
        self.feature = feature
        self.category = category
        self.cardinality = cardinality
    }
}

/// How features become the columns of a detector: scaling and encoding, fitted in training, kept in the artifact's
/// header, and applied alike in training and serving.
///
/// Columns: the kept numeric features in the schema's order, then for each kept categorical feature its categories,
/// ascending by their UTF-8 bytes, and the pool of all others. A missing number stays NaN. A missing category is 0 in
/// all of its feature's columns. With native encoding a categorical feature has one column: the number of its category
/// in that order, NaN for a missing one.
public struct Preprocessing: Codable, Sendable, Hashable {
    /// What a number is measured in.
    public enum Scaling: String, Codable, Sendable, Hashable, CaseIterable {
        /// As it is.
        case none
        /// (x - mean) / standard deviation.
        case standard
        /// (x - median) / interquartile range.
        case robust
    }

    /// What a categorical feature becomes.
    public enum Encoding: String, Codable, Sendable, Hashable, CaseIterable {
        /// A column of 0 and 1 for each category: any detector can use it.
        case oneHot = "one-hot"
        /// One column of codes, for detectors that make use of categories.
        case native
    }

    /// A kept numeric feature: its column is (x - centre) / scale.
    public struct NumericColumn: Codable, Sendable, Hashable {
        /// Name in the schema.
        public var feature: String
        /// Finite.
        public var centre: Double
        /// Finite, positive.
        public var scale: Double
        /// What is usual, in the feature's unit: the median; of models from before there were medians, the mean. NaN: not known.
        public var usual: Double

        public init(feature: String, centre: Double, scale: Double, usual: Double) {
            self.feature = feature
            self.centre = centre
            self.scale = scale
            self.usual = usual
        }
    }

    /// A kept categorical feature: a column for each category, and one for all others.
    public struct CategoricalColumns: Codable, Sendable, Hashable {
        /// Name in the schema.
        public var feature: String
        /// Ascending by UTF-8 bytes, different, none of them `pooled`.
        public var categories: [String]
        /// The most common one; `pooled` when that is more common than each.
        public var usual: String

        public init(feature: String, categories: [String], usual: String) {
            self.feature = feature
            self.categories = categories
            self.usual = usual
        }
    }

    /// The name of the category of all that have no column of their own.
    public static let pooled = "other"
    /// No feature has more categories of its own.
    public static let maximumCategories = 255

    /// `FeatureSchema.version` at the time of fitting.
    public var schemaVersion: Int
    public var scaling: Scaling
    public var numeric: [NumericColumn]
    public var categorical: [CategoricalColumns]
    /// nil: one-hot, as artifacts say that were written before there was a choice.
    private var chosenEncoding: Encoding?

    /// Of a user with fewer transactions in the 30 d before, what is new to them or far from their mean says nothing: those
    /// features are missing. nil: of nobody, as of models from before there was such a rule.
    public var coldBelow: Int?

    /// Names of categorical features of which hardly any training row had a category without a column of its own: one that
    /// comes later counts as the usual category, for a new name by itself says nothing. nil: of none, as of models from
    /// before there was such a rule.
    public var unseenAsUsual: [String]?

    /// Features that mean nothing without a history.
    public static let coldFeatures: Set = [
        "amount_zscore_30d", "amount_ratio_30d", "new_merchant", "new_country", "new_device",
    ]
    /// What models are trained with.
    public static let usualColdBelow = 5

    private enum CodingKeys: String, CodingKey {
        case schemaVersion, scaling, numeric, categorical, coldBelow, unseenAsUsual
        case chosenEncoding = "encoding"
    }

    public var encoding: Encoding { chosenEncoding ?? .oneHot }

    public init(
        schemaVersion: Int = FeatureSchema.version, scaling: Scaling,
        numeric: [NumericColumn], categorical: [CategoricalColumns], encoding: Encoding = .oneHot,
        coldBelow: Int? = nil, unseenAsUsual: [String]? = nil
    ) {
        self.coldBelow = coldBelow
        self.unseenAsUsual = unseenAsUsual
        chosenEncoding = encoding == .oneHot ? nil : encoding
        self.schemaVersion = schemaVersion
        self.scaling = scaling
        self.numeric = numeric
        self.categorical = categorical
    }

    /// Every numeric feature as it is, and no categories: for when there is nothing to fit.
    public static let identity = Preprocessing(
        scaling: .none,
        numeric: FeatureSchema.numeric.map { NumericColumn(feature: $0.name, centre: 0, scale: 1, usual: 0) },
        categorical: [])

    /// Which of a feature's categories a text without one of its own counts as: the pool's number, which follows theirs, or
    /// that of the usual one.
    public func unseenPlace(_ group: CategoricalColumns) -> Int {
        guard unseenAsUsual?.contains(group.feature) ?? false else { return group.categories.count }
        return group.categories.firstIndex(of: group.usual) ?? group.categories.count
    }

    /// The encoded columns, in order. A feature that the schema does not have gives none; a plan refuses it.
    public var columns: [FeatureColumnInfo] {
        var columns: [FeatureColumnInfo] = []
        for column in numeric {
            guard let feature = FeatureSchema.index(of: column.feature) else { continue }
            columns.append(FeatureColumnInfo(name: column.feature, feature: feature, category: nil))
        }
        for group in categorical {
            guard let feature = FeatureSchema.index(of: group.feature) else { continue }
            if encoding == .native {
                columns.append(
                    FeatureColumnInfo(
                        name: group.feature, feature: feature, category: nil,
                        cardinality: group.categories.count + 1))
                continue
            }
            for category in group.categories + [Self.pooled] {
                let name = "\(group.feature)=\(category)"
                columns.append(FeatureColumnInfo(name: name, feature: feature, category: category))
            }
        }
        return columns
    }
}

/// Why a preprocessing, as read from an artifact say, cannot be applied.
public enum PreprocessingError: Error, Sendable, Hashable, CustomStringConvertible {
    case unsupportedSchema(Int)
    case unknownFeature(String)
    case repeatedFeature(String)
    /// Centre or scale is not finite, or the scale is not positive.
    case badScale(feature: String)
    /// Too many, repeated or unsorted categories.
    case badCategories(feature: String)
    /// There is no column at all.
    case noColumns

    public var description: String {
        switch self {
        case .unsupportedSchema(let version):
            "preprocessing is for feature schema \(version), this service computes \(FeatureSchema.versions.lowerBound) to \(FeatureSchema.version)"
        case .unknownFeature(let name):
            "feature \(name) is not one of feature schema \(FeatureSchema.version)"
        case .repeatedFeature(let name): "feature \(name) occurs twice in the preprocessing"
        case .badScale(let feature): "feature \(feature) has no finite centre and positive scale"
        case .badCategories(let feature): "feature \(feature) has too many, repeated or unsorted categories"
        case .noColumns: "preprocessing has no columns"
        }
    }
}
