import Exact
import Foundation
import Kafka

/// A verdict as a CloudEvent in Kafka's binary mode: its attributes are headers, its bytes are the verdict's own.
///
/// Source: CloudEvents 1.0.2, Kafka protocol binding 3.2.
struct CloudEvent {
    /// Where events come from, a URI reference.
    private let source: String

    init(group: String, topic: String) {
        let parts = [group, topic].map {
            $0.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        }
        source = "/ml-service/\(parts.joined(separator: "/"))"
    }

    func headers(_ identity: EventIdentity) -> [KafkaHeader] {
        var time: [UInt8] = []
        TimeText.append(identity.timeMilliseconds, to: &time)
        let group = identity.group.map { [KafkaHeader("ce_group", $0)] } ?? []
        return [
            KafkaHeader("ce_specversion", "1.0"), KafkaHeader("ce_id", identity.id),
            KafkaHeader("ce_source", source),
            KafkaHeader("ce_type", identity.isAnomaly ? "ml-service.anomaly" : "ml-service.normal"),
            KafkaHeader(name: "ce_time", value: time), KafkaHeader("content-type", "application/json"),
        ] + group
    }
}
