import Kafka
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What offsets are of: those of another cluster, topic or group say nothing here. Kept in the snapshot of windows.
public struct KafkaPlace: Codable, Sendable, Hashable {
    public var topic: String
    public var group: String
    /// nil: no broker has said it yet.
    public var cluster: String?

    public init(topic: String, group: String, cluster: String?) {
        self.topic = topic
        self.group = group
        self.cluster = cluster
    }

    /// nil for what is none: a snapshot of before there were any, or of a file.
    public init?(checkpoint: [UInt8]) {
        guard let place = try? JSONDecoder().decode(KafkaPlace.self, from: Data(checkpoint)) else {
            return nil
        }
        self = place
    }

    public var checkpoint: [UInt8] {
        get throws { [UInt8](try JSONEncoder().encode(self)) }
    }

    /// In what the windows' offsets, if they are of `self`, are of another place than `other`; nil: in nothing that is
    /// known.
    public func difference(from other: KafkaPlace) -> String? {
        if topic != other.topic { return "topic \(topic), not \(other.topic)" }
        if group != other.group { return "group \(group), not \(other.group)" }
        guard let cluster, let its = other.cluster, cluster != its else { return nil }
        return "cluster \(cluster), not \(its)"
    }
}
