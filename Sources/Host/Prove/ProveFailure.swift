import Foundation

/// Why a proof could not be carried out to its end, for people.
struct ProveFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The proof's only way to wait: until something holds, with a deadline that ends in an error.
///
/// - Parameters:
///   - check: Throws for what makes further waiting pointless, a process that has ended, say.
///   - state: What is to be known of a wait in vain.
func proveWait(
    _ what: String, seconds: Double, check: () throws -> Void = {}, state: @autoclosure () -> String? = nil,
    until isSo: () throws -> Bool
) throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
        if try isSo() { return }
        try check()
        guard ContinuousClock.now < deadline else {
            throw ProveFailure(
                "waited \(Int(seconds)) s in vain until \(what)" + (state().map { ". \($0)" } ?? ""))
        }
        Thread.sleep(forTimeInterval: 0.03)
    }
}
