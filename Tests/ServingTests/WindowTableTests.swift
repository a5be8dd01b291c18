import Testing

@testable import Serving

@Suite struct WindowTableTests {
    /// Whatever is set, replaced and removed, the table holds what a dictionary would.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func holdsWhatADictionaryHolds(seed: UInt64) {
        var random = SplitMix(state: seed)
        let table = WindowTable()
        var model: [[UInt8]: [UInt8]] = [:]
        for turn in 0..<30_000 {
            let user = Array("user-\(Int.random(in: 0..<3_000, using: &random))".utf8)
            if Int.random(in: 0..<4, using: &random) == 0 {
                let removed = user.withUnsafeBytes { table.remove($0) }
                #expect(removed == (model.removeValue(forKey: user) != nil))
            } else {
                let most = turn % 1_000 == 0 ? 300_000 : 600
                let size = Int.random(in: 0..<most, using: &random)
                let blob = [UInt8](repeating: UInt8(truncatingIfNeeded: turn), count: size)
                user.withUnsafeBytes { user in blob.withUnsafeBytes { table.set($0, of: user, minute: 1) } }
                model[user] = blob
            }
            #expect(table.count == model.count)
        }
        for (user, blob) in model {
            let found = user.withUnsafeBytes { table.withBlob(of: $0) { $0.map(Array.init) } }
            #expect(found == blob)
        }
        var seen = 0
        table.visit { user, blob in
            seen += 1
            #expect(model[Array(user)] == Array(blob))
        }
        #expect(seen == model.count)
        for user in model.keys { user.withUnsafeBytes { #expect(table.remove($0)) } }
        #expect(table.count == 0)
    }
}
