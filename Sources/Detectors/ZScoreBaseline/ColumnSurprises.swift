import DetectorAPI

/// A model that can say how surprising each value of a row is by itself, for detectors that build on it.
package protocol ColumnSurprises: DetectorModel {
    /// ln(1 + z^2) of each value, over what that is on the mean for a normal distribution: 1 for a usual value.
    ///
    /// - Parameter surprises: `rows.count x columns` places, row-major; NaN for a missing value.
    /// - Throws: `DetectorError.invalidInput` for rows of another width or too few places.
    func writeSurprises(of rows: FeatureRows, into surprises: UnsafeMutableBufferPointer<Double>) throws
}
