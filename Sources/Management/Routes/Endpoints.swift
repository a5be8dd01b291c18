/// Every route of the service.
func allEndpoints() -> [Endpoint] {
    let endpoints =
        consoleEndpoints() + healthEndpoints() + modelEndpoints() + backtestEndpoints() + shadowEndpoints()
        + trainingEndpoints() + userEndpoints() + labelEndpoints() + ruleEndpoints()
        + anomalyEndpoints() + eventEndpoints() + detectorEndpoints() + scoreEndpoints()
        + inferenceEndpoints()
    return endpoints + [descriptionEndpoint(of: endpoints)]
}

/// docs/api.md.
public func apiDocumentation() -> String { Documentation.markdown(allEndpoints()) }
