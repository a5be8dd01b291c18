import Features

/// What is known of a model besides its payload; the JSON header of its artifact.
public struct ArtifactHeader: Codable, Sendable, Hashable {
    public struct Range: Codable, Sendable, Hashable {
        /// Days, `2026-01-31`, both included.
        public var from: String
        public var to: String

        public init(from: String, to: String) {
            self.from = from
            self.to = to
        }
    }

    /// The file of another tool that a model was imported from.
    public struct Source: Codable, Sendable, Hashable {
        /// Its name, without the folders.
        public var file: String
        /// Hexadecimal.
        public var sha256: String
        /// What wrote it, `skl2onnx 1.20.0`; empty when the file does not say.
        public var producer: String

        public init(file: String, sha256: String, producer: String) {
            self.file = file
            self.sha256 = sha256
            self.producer = producer
        }
    }

    /// nil: the global model.
    public var userID: String?
    public var version: Int
    public var detectorID: String
    public var detectorVersion: String
    /// Of the library that fitted it, hexadecimal: where several of the same id are loaded, that one goes on
    /// scoring it. nil: a detector linked into its host.
    public var detectorSHA256: String?
    public var parameters: [String: String]
    public var seed: UInt64
    public var preprocessing: Preprocessing
    /// `score < threshold` is an anomaly.
    public var threshold: Double
    /// How severe a score is. nil: nobody knows, as of models that were imported or trained before there were severities.
    public var severity: SeverityTable?
    /// The share of alerts that the threshold was chosen for.
    public var contamination: Double
    public var trainingRange: Range
    public var rowCount: Int
    public var metrics: [String: Double]
    /// The version that was active when this one was trained.
    public var parent: Int?
    /// Epoch milliseconds.
    public var createdMilliseconds: Int64
    /// The training job, so that a job that is run again finds what it has stored.
    public var jobID: String?
    /// nil: trained here. An imported model has no training range, rows or contamination to tell: "" and 0.
    public var source: Source?
    /// What it was chosen from; empty where there was no choice.
    public var candidates: [CandidateJudgement] = []
    /// By what it was let through to serving, or not; empty where nobody asked.
    public var gate: [GateCheck] = []
    /// The threshold before the flood guard lowered it; nil: nobody did.
    public var uncappedThreshold: Double?
    /// Labels that became known later were not seen; nil: all were. Milliseconds since 1970.
    public var labelsAsOfMilliseconds: Int64?
    /// The holdout by tenths of its scores, the most unusual first; empty where nobody counted.
    public var deciles: [HoldoutDecile] = []
    /// nil: drift cannot be told.
    public var profile: TrainingProfile?
    /// Hexadecimal; filled in by `Artifact`.
    public var payloadSHA256 = ""

    public init(
        userID: String?, version: Int = 0, detectorID: String, detectorVersion: String,
        detectorSHA256: String? = nil, parameters: [String: String], seed: UInt64,
        preprocessing: Preprocessing, threshold: Double, severity: SeverityTable? = nil,
        contamination: Double, trainingRange: Range, rowCount: Int, metrics: [String: Double], parent: Int?,
        createdMilliseconds: Int64, jobID: String?, source: Source? = nil
    ) {
        self.userID = userID
        self.version = version
        self.detectorID = detectorID
        self.detectorVersion = detectorVersion
        self.detectorSHA256 = detectorSHA256
        self.parameters = parameters
        self.seed = seed
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.severity = severity
        self.contamination = contamination
        self.trainingRange = trainingRange
        self.rowCount = rowCount
        self.metrics = metrics
        self.parent = parent
        self.createdMilliseconds = createdMilliseconds
        self.jobID = jobID
        self.source = source
    }

    public var tenant: Tenant { userID.map(Tenant.user) ?? .global }
}
