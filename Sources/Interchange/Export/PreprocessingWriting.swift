import DetectorAPI
import Features

extension GraphWriter {
    /// Adds what a preprocessing does: scaling in the same 32-bit arithmetic, and a column for each category, or, where
    /// the trees split categories themselves, for each order of a feature's categories.
    ///
    /// - Parameter orders: Ascending by their columns, which come after the numeric ones without a gap.
    /// - Returns: The value that has all columns that trees cut, float [rows, columns].
    mutating func preprocess(
        _ preprocessing: Preprocessing, orders: [IsolationTrees.CategoryOrder]
    ) throws(InterchangeError) -> String {
        var parts: [String] = []
        if !preprocessing.numeric.isEmpty { parts.append(scale(preprocessing)) }
        switch preprocessing.encoding {
        case .oneHot:
            guard orders.isEmpty else { throw Self.strangeOrders }
            for group in preprocessing.categorical {
                parts.append(try encode(group, unseen: preprocessing.unseenPlace(group)))
            }
        case .native: parts += try encode(preprocessing, orders)
        }
        if parts.count == 1 { return parts[0] }
        return node("Concat", parts, output: "columns", [.whole("axis", 1)])
    }

    /// (x - centre) x factor. What overflows to infinity here is the greatest number in the service; thresholds lie below
    /// both or above both.
    private mutating func scale(_ preprocessing: Preprocessing) -> String {
        let numeric = preprocessing.numeric
        let names = numeric.map(\.feature).joined(separator: ", ")
        var meaning = "NaN: missing; \(names)"
        if let coldBelow = preprocessing.coldBelow {
            // Whoever makes the features knows the user's history; the graph may not even have it.
            let cold = numeric.map(\.feature).filter(Preprocessing.coldFeatures.contains)
            meaning += "; for users with fewer than \(coldBelow) transactions in 30 d also missing: "
            meaning += cold.joined(separator: ", ")
        }
        let features = input("features", .float, columns: numeric.count, meaning)
        let centres = numeric.map { Float($0.centre) }
        let factors = numeric.map { Float(1 / $0.scale) }
        guard centres.contains(where: { $0 != 0 }) || factors.contains(where: { $0 != 1 }) else {
            return features
        }
        let centred = node("Sub", [features, constant("centres", floats: centres)], output: "centred")
        return node("Mul", [centred, constant("factors", floats: factors)], output: "scaled")
    }

    /// The input of a categorical feature.
    private mutating func text(_ group: Preprocessing.CategoricalColumns) throws(InterchangeError) -> String {
        let name = group.feature
        guard !group.categories.contains("") else {
            throw .notExportable(
                "\(name) has the empty text as a category, which stands for a missing one in the graph")
        }
        return input(name, .text, columns: 1, "\"\": missing")
    }

    private static let strangeOrders = InterchangeError.notExportable(
        "its orders of categories are not those of its preprocessing")

    private mutating func encode(
        _ preprocessing: Preprocessing, _ orders: [IsolationTrees.CategoryOrder]
    ) throws(InterchangeError) -> [String] {
        let (groups, first) = (preprocessing.categorical, preprocessing.numeric.count)
        var texts: [String] = []
        for group in groups { texts.append(try text(group)) }
        guard orders.count >= groups.count else { throw Self.strangeOrders }
        var columns: [String] = []
        for (place, order) in orders.enumerated() {
            let group = order.column - first
            guard order.cutColumn == first + place, groups.indices.contains(group),
                order.places.count == groups[group].categories.count + 1
            else { throw Self.strangeOrders }
            let unseen = preprocessing.unseenPlace(groups[group])
            columns.append(encode(groups[group], texts[group], order, unseen: unseen))
        }
        return columns
    }

    /// A category's place in an order by a LabelEncoder; the last code is the pool's, `unseen` that of other texts.
    private mutating func encode(
        _ group: Preprocessing.CategoricalColumns, _ text: String, _ order: IsolationTrees.CategoryOrder,
        unseen: Int
    ) -> String {
        let places = order.places.map { Float($0) }
        return node(
            "LabelEncoder", domain: machineLearningDomain, [text],
            output: "\(group.feature)_order_\(order.cutColumn)",
            [
                .texts("keys_strings", group.categories + [""]),
                .reals("values_floats", places.dropLast() + [.nan]),
                .real("default_float", places[unseen]),
            ])
    }

    /// A category's number by a LabelEncoder, then a column for each number: 1 where it is the row's, else 0.
    private mutating func encode(
        _ group: Preprocessing.CategoricalColumns, unseen: Int
    ) throws(InterchangeError) -> String {
        let name = group.feature
        let text = try text(group)
        let pooled = Int64(group.categories.count)
        // A missing category is -1, which no column has.
        let numbers = node(
            "LabelEncoder", domain: machineLearningDomain, [text], output: "\(name)_number",
            [
                .texts("keys_strings", group.categories + [""]),
                .wholes("values_int64s", Array(0..<pooled) + [-1]), .whole("default_int64", Int64(unseen)),
            ])
        let columns = constant("\(name)_numbers", wholes: Array(0...pooled))
        let isOwn = node("Equal", [numbers, columns], output: "\(name)_is")
        return cast(isOwn, to: .float, output: "\(name)_columns")
    }
}
