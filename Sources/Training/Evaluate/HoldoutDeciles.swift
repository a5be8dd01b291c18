import Models

extension HoldoutScores {
    /// The holdout by tenths of its scores, the most unusual first. Rows of one score lie in one tenth.
    var deciles: [HoldoutDecile] {
        guard !scores.isEmpty else { return [] }
        let order = scores.indices.sorted { scores[$0] < scores[$1] }
        var deciles: [HoldoutDecile] = []
        var start = 0
        for tenth in 1...10 {
            var end = max(start, order.count * tenth / 10)
            guard end > start else { continue }
            let highest = scores[order[end - 1]]
            while end < order.count, scores[order[end]] == highest { end += 1 }
            deciles.append(
                HoldoutDecile(
                    rows: end - start, frauds: order[start..<end].count { labels[$0] == 1 }, injected: 0,
                    highestScore: highest))
            start = end
        }
        for score in injected {
            // Beyond the highest there is only the last.
            let place = deciles.firstIndex { score <= $0.highestScore } ?? deciles.count - 1
            deciles[place].injected += 1
        }
        return deciles
    }
}
