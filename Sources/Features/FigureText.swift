/// Numbers in sentences: the same bytes on every machine.
enum FigureText {
    /// An amount: two places, and more where a small one would be told wrongly by more than a twentieth.
    static func money(_ x: Double) -> String {
        guard !x.isNaN else { return "not known" }
        let places = (2...mostPlaces).first { places in
            let scale = scale(places)
            return ((x * scale).rounded() / scale - x).magnitude <= x.magnitude / 20
        }
        return decimal(x, places: places ?? 2)
    }

    private static let mostPlaces = 12

    private static func scale(_ places: Int) -> Double { (0..<places).reduce(1) { scale, _ in scale * 10 } }

    /// - Parameter places: After the point: 0 to 12; more than 2 of small numbers only.
    static func decimal(_ x: Double, places: Int) -> String {
        let scale = scale(places)
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
