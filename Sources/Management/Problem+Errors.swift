import DetectorAPI
import Features
import HTTPTypes
import Hummingbird
import Lake
import Models
import ObjectStore
import Redis
import Rules
import Serving
import Training
import Transactions

extension Problem {
    /// What an error of a use case is to the caller: their fault is 4xx, ours 5xx, and what passes says when to come again.
    init(of error: any Error) {
        switch error {
        case let problem as Problem: self = problem
        case let error as HTTPError:
            self.init(error.status, "http", error.body ?? error.status.reasonPhrase)
        case let error as TrainingError: self.init(training: error)
        case let error as ObjectStoreError: self.init(store: error)
        case let error as LakeError where error.isRetryable:
            self = .later("lake-changed", "\(error)", seconds: 1)
        case let error as LakeError: self.init(.internalServerError, "lake-damaged", "\(error)")
        case let error as CatalogueError: self.init(catalogue: error)
        case let error as ShadowError: self.init(shadow: error)
        case let error as RuleError: self.init(rules: error)
        case let error as ModelLoadError:
            switch error {
            case .notFound, .unnamed: self = .notFound("\(error)")
            default: self.init(unusable: error)
            }
        case is ArtifactError, is DetectorError, is PreprocessingError: self.init(unusable: error)
        case let error as RedisError where error.isRetryable:
            self = .later("redis-away", "\(error)", seconds: 5)
        case let error as RedisError: self.init(.internalServerError, "redis-failed", "\(error)")
        case let error as RejectedTransaction: self.init(rejected: error)
        case ServingError.noGlobalModel(let trouble): self = .later("no-model", "\(trouble)", seconds: 60)
        default:
            guard let local = LocalStateError(error) else {
                self.init(.internalServerError, "internal", "\(error)")
                return
            }
            self =
                local.isRetryable
                ? .later("local-state-busy", "\(local)", seconds: 5)
                : Problem(.internalServerError, "local-state-failed", "\(local)")
        }
    }

    /// - Parameter isAlone: The transaction is the body, and no element of an array.
    init(rejected error: RejectedTransaction, isAlone: Bool = false) {
        let parts = [isAlone ? nil : "[\(error.index)]", error.rejection.field].compactMap { $0 }
        let field = parts.isEmpty ? nil : parts.joined(separator: ".")
        switch error.rejection.reason {
        case .notJSON, .invalidUTF8:
            self.init(.badRequest, "invalid-json", error.rejection.reason.explanation, field: field)
        default: self = .invalid(error.rejection.reason.explanation, field: field)
        }
    }

    private init(unusable error: any Error) {
        self.init(.conflict, "model-unusable", "the version cannot serve: \(error)")
    }

    private init(training error: TrainingError) {
        switch error {
        case .invalidRequest(let field, let reason): self = .invalid(reason, field: field)
        case .noData: self.init(.unprocessableContent, "no-data", "\(error)")
        case .insufficientHistory:
            self.init(.unprocessableContent, "insufficient-history", "\(error)")
        case .keyReused:
            self.init(.conflict, "idempotency-key-reused", "\(error)", field: "Idempotency-Key")
        case .queueFull: self = .later("queue-full", "\(error)", seconds: 30, status: .tooManyRequests)
        case .tooManyJobs(_, let seconds):
            self = .later("too-many-jobs", "\(error)", seconds: seconds, status: .tooManyRequests)
        case .scratch: self = .later("scratch-failed", "\(error)", seconds: 30)
        case .cancelled: self.init(.conflict, "cancelled", "\(error)")
        case .damagedJob: self.init(.internalServerError, "record-damaged", "\(error)")
        }
    }

    private init(store error: ObjectStoreError) {
        switch error {
        case .unavailable: self = .later("store-away", "\(error)", seconds: 5)
        case .preconditionFailed: self = .later("store-contended", "\(error)", seconds: 1)
        case .notFound: self = .notFound("\(error)")
        case .denied: self.init(.badGateway, "store-denies", "\(error)")
        case .tooLarge: self.init(.internalServerError, "object-too-large", "\(error)")
        case .invalidKey: self = .invalid("\(error)")
        case .invalidLocation, .failed: self.init(.badGateway, "store-failed", "\(error)")
        }
    }

    private init(shadow error: ShadowError) {
        switch error {
        case .taken: self.init(.conflict, "shadow-taken", "\(error)", field: "version")
        case .contended: self = .later("shadow-contended", "\(error)", seconds: 1)
        case .damaged: self.init(.internalServerError, "shadow-damaged", "\(error)")
        }
    }

    private init(rules error: RuleError) {
        switch error {
        case .invalid(let field, let reason): self = .invalid(reason, field: field.isEmpty ? nil : field)
        case .notJSON: self.init(.badRequest, "invalid-json", "the body must be a rule as a JSON object")
        case .notFound: self = .notFound("\(error)")
        case .taken: self.init(.conflict, "rule-exists", "\(error)", field: "id")
        case .damaged, .noVersion: self.init(.internalServerError, "rules-damaged", "\(error)")
        case .contended: self = .later("rules-contended", "\(error)", seconds: 1)
        }
    }

    private init(catalogue error: CatalogueError) {
        switch error {
        case .malformed: self.init(.internalServerError, "catalogue-damaged", "\(error)")
        case .untrusted: self.init(.internalServerError, "catalogue-refused", "\(error)")
        case .contended: self = .later("catalogue-contended", "\(error)", seconds: 1)
        case .overtaken: self.init(.conflict, "promotion-overtaken", "\(error)")
        }
    }
}

/// The problems that any route may answer with.
let commonProblems: [Endpoint.Answer] = [
    .problem(.badRequest, "The target or the body cannot be read"),
    .problem(.unauthorized, "No key, a wrong one, or one that has expired"),
    .problem(.forbidden, "The key does not allow this, or no key is configured"),
    .problem(.unsupportedMediaType, "The body is compressed; send it as it is"),
    .problem(.unprocessableContent, "A parameter or a field is wrong, unknown or missing; `field` names it"),
    .problem(.tooManyRequests, "Come again after Retry-After seconds"),
    .problem(.internalServerError, "Our fault"),
    .problem(.badGateway, "A store that this service uses refuses or fails"),
    .problem(.serviceUnavailable, "Something outside is away; come again after Retry-After seconds"),
]
