import Crypto
import Exact

/// Alerts of one user within one window of event time are one group: one thing to look at, and to be told of once.
///
/// Windows follow one another without gaps, counted from 1970, so that a group needs no memory: every worker, and every
/// replay, gives an alert the same one, in whatever order alerts come. The price is that alerts on both sides of a boundary
/// are two groups.
public struct AlertGroups: Sendable, Hashable {
    public let windowSeconds: Int

    /// - Parameter windowSeconds: At least 1.
    public init(windowSeconds: Int = 3_600) { self.windowSeconds = max(1, windowSeconds) }

    /// 16 hexadecimal digits.
    ///
    /// - Parameter timeMilliseconds: Of the transaction, since 1970 UTC.
    public func id(user: some Sequence<UInt8>, timeMilliseconds: Int64) -> String {
        let length = Int64(min(windowSeconds, 1 << 40)) * 1_000
        let (quotient, remainder) = timeMilliseconds.quotientAndRemainder(dividingBy: length)
        let window = remainder < 0 ? quotient - 1 : quotient
        var text = Array("\(windowSeconds) \(window) ".utf8)
        text.append(contentsOf: user)
        return Hex.text(SHA256.hash(data: text).prefix(8))
    }
}
