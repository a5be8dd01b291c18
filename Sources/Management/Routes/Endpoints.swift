/// Every route of the service.
func allEndpoints() -> [Endpoint] {
    let endpoints =
        healthEndpoints() + modelEndpoints() + trainingEndpoints() + userEndpoints() + labelEndpoints()
        + anomalyEndpoints() + detectorEndpoints() + scoreEndpoints() + inferenceEndpoints()
    return endpoints + [descriptionEndpoint(of: endpoints)]
}

/// docs/api.md.
public func apiDocumentation() -> String { Documentation.markdown(allEndpoints()) }
