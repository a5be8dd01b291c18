import Features

extension GraphWriter {
    /// Adds what a preprocessing does: scaling in the same 32-bit arithmetic, and a column for each category.
    ///
    /// - Returns: The value that has all columns, float [rows, columns].
    mutating func preprocess(_ preprocessing: Preprocessing) throws(InterchangeError) -> String {
        var parts: [String] = []
        if !preprocessing.numeric.isEmpty { parts.append(scale(preprocessing)) }
        for group in preprocessing.categorical { parts.append(try encode(group)) }
        if parts.count == 1 { return parts[0] }
        return node("Concat", parts, output: "columns", [.whole("axis", 1)])
    }

    /// (x - centre) x factor. What overflows to infinity here is the greatest number in the service; thresholds lie below
    /// both or above both.
    private mutating func scale(_ preprocessing: Preprocessing) -> String {
        let numeric = preprocessing.numeric
        let names = numeric.map(\.feature).joined(separator: ", ")
        let features = input("features", .float, columns: numeric.count, "NaN: missing; \(names)")
        let centres = numeric.map { Float($0.centre) }
        let factors = numeric.map { Float(1 / $0.scale) }
        guard centres.contains(where: { $0 != 0 }) || factors.contains(where: { $0 != 1 }) else {
            return features
        }
        let centred = node("Sub", [features, constant("centres", floats: centres)], output: "centred")
        return node("Mul", [centred, constant("factors", floats: factors)], output: "scaled")
    }

    /// A category's number by a LabelEncoder, then a column for each number: 1 where it is the row's, else 0.
    private mutating func encode(_ group: Preprocessing.CategoricalColumns) throws(InterchangeError) -> String
    {
        let name = group.feature
        guard !group.categories.contains("") else {
            throw .notExportable(
                "\(name) has the empty text as a category, which stands for a missing one in the graph")
        }
        let text = input(name, .text, columns: 1, "\"\": missing")
        let pooled = Int64(group.categories.count)
        // A missing category is -1, which no column has.
        let numbers = node(
            "LabelEncoder", domain: machineLearningDomain, [text], output: "\(name)_number",
            [
                .texts("keys_strings", group.categories + [""]),
                .wholes("values_int64s", Array(0..<pooled) + [-1]), .whole("default_int64", pooled),
            ])
        let columns = constant("\(name)_numbers", wholes: Array(0...pooled))
        let isOwn = node("Equal", [numbers, columns], output: "\(name)_is")
        return cast(isOwn, to: .float, output: "\(name)_columns")
    }
}
