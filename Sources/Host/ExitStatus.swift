import DetectorAPI
import Features
import Interchange
import Kafka
import Lake
import Management
import Models
import ObjectStore
import Outcomes
import Redis
import Rules
import Serving
import Training

/// What a command ends with, after sysexits.h.
enum ExitStatus: Int32 {
    case failed = 1
    case usage = 64
    case data = 65
    case unavailable = 69

    /// nil: an error of ArgumentParser's own, which knows how to end.
    init?(_ error: any Error) {
        switch error {
        case is UsageError, is KeyFileError, TrainingError.invalidRequest, InterchangeError.features:
            self = .usage
        case let error as StreamFileError:
            // A full disk says nothing of the data.
            self = error.isReading && !error.isRetryable ? .data : .failed
        case is InterchangeError, is TrainingError, is ArtifactError, is DetectorError,
            is WindowStoreError, is ModelLoadError, is RecordedVerdictError,
            is RecordedTransactionMissing, is AuditLogError, is NothingToReplay:
            self = .data
        case let error as CatalogueError:
            switch error {
            case .malformed, .untrusted: self = .data
            case .contended: self = .unavailable
            case .overtaken: self = .failed
            }
        case is PreprocessingError: self = .data
        case ReferenceError.invalid: self = .usage
        case RuleError.contended: self = .unavailable
        case is RuleError: self = .data
        case is ReferenceError, is ReferenceTableError: self = .data
        case let error as ObjectStoreError: self = error.isRetryable ? .unavailable : .failed
        case let error as LakeError: self = error.isRetryable ? .unavailable : .data
        case let error as RedisError: self = error.isRetryable ? .unavailable : .failed
        case let error as KafkaError: self = error.isRetryable ? .unavailable : .failed
        case let error as SessionEnded: self = ExitStatus(error.reason) ?? .failed
        case is ServingError: self = .failed
        default:
            guard
                "\(type(of: error))".hasPrefix("CommandError") || "\(type(of: error))" == "ExitCode"
                    || "\(type(of: error))" == "ValidationError" || "\(type(of: error))" == "CleanExit"
            else {
                self = .failed
                return
            }
            return nil
        }
    }
}
