import DetectorAPI
import Hummingbird
import Plugins

func detectorEndpoints() -> [Endpoint] {
    [
        Endpoint(
            .get, "/v1/detectors", name: "detectors",
            summary: "Loaded detectors, and libraries that were refused",
            scope: .read, answers: [.ok("What is loaded and what is not", "Detectors")]
        ) { _, services in try .json(DetectorsView(services.registry)) },
        Endpoint(
            .post, "/v1/detectors/rescan", name: "rescanDetectors", summary: "Look for new plugins now",
            scope: .admin, answers: [.ok("What is loaded then", "Detectors")]
        ) { _, services in
            _ = try await services.blocking { services.registry.rescan() }
            return try .json(DetectorsView(services.registry))
        },
    ]
}
