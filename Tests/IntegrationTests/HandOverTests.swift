import Foundation
import Kafka
import Logging
import Synchronization
import Testing

/// How soon a partition is read again when its owner ends, for the kinds of membership that there are. The figures in
/// docs/kafka.md come from here.
@Suite(.serialized) struct HandOverTests {
    struct Kind: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let isStatic: Bool
        let isLeaving: Bool
        var strategy = "range"

        static let all = [
            Kind(testDescription: "static, keeps its place", isStatic: true, isLeaving: false),
            Kind(testDescription: "static, leaves", isStatic: true, isLeaving: true),
            Kind(testDescription: "dynamic, eager", isStatic: false, isLeaving: false),
            Kind(
                testDescription: "dynamic, cooperative", isStatic: false, isLeaving: false,
                strategy: "cooperative-sticky"),
        ]
    }

    @Test(arguments: Kind.all)
    func theNextOwnerReadsWhatItsPredecessorHadNot(kind: Kind) throws {
        let scene = try StreamScene(partitions: 8)
        let first = try member(scene, "a", kind)
        let second = try member(scene, "b", kind)
        try poll([first, second]) { _ in first.assignment.count == 4 && second.assignment.count == 4 }
        let begin = ContinuousClock.now
        first.close(isLeaving: kind.isLeaving)
        let closed = ContinuousClock.now
        try scene.fill((0..<40).map(String.init))
        try poll([second]) { $0 == 40 }
        let hasExpired = scene.proxy.duties.removedMembers > 0
        print(
            "hand-over, \(kind.testDescription): \(Self.text(ContinuousClock.now - begin)), of it the close \(Self.text(closed - begin))",
            hasExpired ? "(its session of 10 s had to end)" : "")
        // Only a static member that keeps its place makes the others wait for the end of its session.
        #expect(hasExpired == (kind.isStatic && !kind.isLeaving))
        second.close()
    }

    /// The other side of it: a worker that was killed and is started again at once.
    @Test(arguments: Kind.all.filter { !$0.isLeaving })
    func aKilledWorkerThatIsStartedAgainReadsOn(kind: Kind) throws {
        let scene = try StreamScene(partitions: 8)
        let second = try member(scene, "b", kind)
        do {
            let killed = try member(scene, "a", kind)
            try poll([killed, second]) { _ in killed.assignment.count == 4 && second.assignment.count == 4 }
            // From here on the group does not hear of it.
            scene.proxy.onRequest { $0.clientID == "a" ? .lose : .pass }
            killed.close(timeoutMilliseconds: 1)
        }
        scene.proxy.release()
        let begin = ContinuousClock.now
        let again = try member(scene, "a", kind)
        try scene.fill((0..<40).map(String.init))
        try poll([again, second]) { $0 >= 40 && again.assignment.count == 4 }
        print(
            "killed and started again, \(kind.testDescription):",
            Self.text(ContinuousClock.now - begin),
            scene.proxy.duties.removedMembers > 0 ? "(its session of 10 s had to end)" : "")
        again.close()
        second.close()
    }

    /// It ends when the group has been asked and has not answered, as it waits for the other members. It may be in the group
    /// then without knowing it: its partitions are read again at once if it has left, else when its session is over.
    @Test(arguments: Kind.all.prefix(2))
    func aMemberThatEndsWhileItJoinsLeavesNoPartitionUnread(kind: Kind) throws {
        let scene = try StreamScene(partitions: 4)
        let first = try member(scene, "a", kind)
        let second = try member(scene, "b", kind)
        try poll([first, second]) { _ in first.assignment.count == 2 && second.assignment.count == 2 }
        let before = scene.proxy.count(of: .joinGroup)
        let third = try member(scene, "c", kind)
        try poll([first, second, third]) { _ in scene.proxy.count(of: .joinGroup) > before }
        let hasEnded = Mutex(false)
        Thread.detachNewThread {
            third.close(isLeaving: kind.isLeaving)
            hasEnded.withLock { $0 = true }
        }
        // The others join anew, as there was a third.
        try poll([first, second]) { _ in
            hasEnded.withLock(\.self) && scene.proxy.count(of: .joinGroup) >= before + 3
        }
        try scene.fill((0..<40).map(String.init))
        try poll([first, second]) { found in
            found == 40 && first.assignment.count + second.assignment.count == 4
        }
        #expect((scene.proxy.duties.removedMembers > 0) == !kind.isLeaving)
        first.close()
        second.close()
    }

    private static func text(_ duration: Duration) -> String {
        String(format: "%.1f s", duration / .seconds(1))
    }

    private func member(_ scene: StreamScene, _ name: String, _ kind: Kind) throws -> KafkaConsumer {
        var settings = scene.settings(of: name)
        settings.extra["partition.assignment.strategy"] = kind.strategy
        if kind.isStatic { settings.extra["group.instance.id"] = name }
        return try KafkaConsumer(
            settings: settings, groupID: scene.name("group"), topics: [scene.topic], logger: scene.logger)
    }

    /// Polls until the condition holds of the number of records that have come; one that comes again counts once.
    private func poll(_ members: [KafkaConsumer], until isDone: (Int) -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(120)
        var found: Set<[UInt8]> = []
        while !isDone(found.count) {
            try #require(ContinuousClock.now < deadline, "two minutes have brought \(found.count) records")
            for member in members {
                // What fails is tried again: the group forms anew, or the broker is away for a moment.
                guard let messages = try? member.poll(maximumCount: 100, timeoutMilliseconds: 10) else {
                    continue
                }
                for index in 0..<messages.count { found.insert(Array(messages.payload(index))) }
            }
        }
    }
}
