import Hummingbird
import Models
import ObjectStore

/// Every route of the service.
public func managementRouter(_ services: ManagementServices) -> Router<BasicRequestContext> {
    let router = Router()
    router.add(middleware: ProblemMiddleware())
    addTrainingRoutes(to: router, services)
    addModelRoutes(to: router, services)
    addDriftRoute(to: router, services)
    addDetectorRoutes(to: router, services)
    addHealthRoutes(to: router, services)
    return router
}

/// The tenant that `?user_id=` names; none: the global one.
func tenant(of request: Request) throws -> Tenant {
    guard let userID = request.uri.queryParameters["user_id"].map(String.init) else { return .global }
    return .user(try checkedUserID(userID))
}

func checkedUserID(_ userID: String) throws -> String {
    guard (1...256).contains(userID.utf8.count) else {
        throw Problem.invalid("a user id has 1 to 256 bytes", field: "user_id")
    }
    return userID
}

extension Problem {
    /// What an error of a use case is to the caller.
    init(of error: any Error) {
        switch error {
        case let problem as Problem: self = problem
        case let error as ObjectStoreError where error.isRetryable:
            self.init(.serviceUnavailable, "store-away", "\(error); try again later")
        case let error as ModelLoadError:
            if case .notFound = error {
                self = .notFound("\(error)")
            } else {
                self.init(.conflict, "model-unusable", "the version cannot serve: \(error)")
            }
        case let error as ArtifactError:
            self.init(.conflict, "model-unusable", "the version cannot serve: \(error)")
        default: self.init(.internalServerError, "internal", "\(error)")
        }
    }
}
