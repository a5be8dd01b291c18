import Foundation
import Synchronization

/// Does independent pieces of work at once, each on a thread of its own, and waits for all: they block on stores, so
/// they have no place in Swift's cooperative pool.
///
/// - Returns: The results, in the order of the inputs.
/// - Throws: The first error by the order of the inputs; the other pieces end first.
func onThreads<Input: Sendable, Output: Sendable>(
    _ inputs: [Input], _ work: @escaping @Sendable (Input) throws -> Output
) throws -> [Output] {
    if inputs.count == 1 { return try inputs.map(work) }
    let results = Results<Output>(count: inputs.count)
    let group = DispatchGroup()
    for (place, input) in inputs.enumerated() {
        group.enter()
        let thread = Thread {
            results.set(place, Result { try work(input) })
            group.leave()
        }
        thread.name = "training \(place)"
        thread.stackSize = 4 << 20
        thread.start()
    }
    group.wait()
    return try results.all()
}

private final class Results<Output: Sendable>: Sendable {
    private let results: Mutex<[Result<Output, any Error>?]>

    init(count: Int) { results = Mutex(Array(repeating: nil, count: count)) }

    func set(_ place: Int, _ result: Result<Output, any Error>) {
        results.withLock { $0[place] = result }
    }

    func all() throws -> [Output] {
        try results.withLock { $0 }.compactMap { try $0?.get() }
    }
}
