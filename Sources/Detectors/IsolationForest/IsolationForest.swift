import DetectorAPI
public struct IsolationForest: Detector { public init() {}
 public var info: DetectorInfo { .init(id: "x", version: "1", summary: "", parameters: []) }
 public func fit(_ rows: FeatureRows, labels: UnsafeBufferPointer<Int8>?, context: FitContext) throws -> any DetectorModel { throw DetectorError.cancelled }
 public func decode(_ artifact: ArtifactBytes) throws -> any DetectorModel { throw DetectorError.cancelled }
}
