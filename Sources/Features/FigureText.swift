/// Numbers in sentences: the same bytes on every machine.
enum FigureText {
    /// - Parameter places: After the point: 0, 1 or 2.
    static func decimal(_ x: Double, places: Int) -> String {
        let scale = places == 2 ? 100.0 : places == 1 ? 10 : 1
        guard x.isFinite, x.magnitude < 1e15 else { return "\(x)" }
        let scaled = Int64((x.magnitude * scale).rounded())
        let sign = x < 0 && scaled > 0 ? "-" : ""
        let unit = Int64(scale)
        guard places > 0 else { return "\(sign)\(scaled)" }
        let rest = String(scaled % unit)
        return "\(sign)\(scaled / unit).\(String(repeating: "0", count: places - rest.count))\(rest)"
    }

    static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<120: "\(decimal(seconds, places: 0)) s"
        case ..<7_200: "\(decimal(seconds / 60, places: 0)) min"
        case ..<172_800: "\(decimal(seconds / 3_600, places: 1)) h"
        default: "\(decimal(seconds / 86_400, places: 1)) d"
        }
    }
}
