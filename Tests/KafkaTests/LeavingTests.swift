import Foundation
import Kafka
import KafkaProxy
import Synchronization
import Testing

/// Members that are told to end while the group waits for others. librdkafka's own broker lets a rebalance last a second
/// less than a session, and reads nothing more of a connection while a request to join waits on it, as Kafka does.
@Suite struct LeavingTests {
    /// A group of one, whose member joins anew as there is a second: both wait for their places.
    private struct Scene {
        let cluster: MockKafkaCluster
        let proxy: KafkaProxy
        let firstCalls = GroupCalls("a")
        let secondCalls = GroupCalls("b")
        let first, second: KafkaConsumer
        let all = Set((0..<4).map { TopicPartition(topic: "in", partition: $0) })

        init() throws {
            cluster = try MockKafkaCluster(topics: [.init("in", partitions: 4)])
            proxy = try KafkaProxy(upstream: cluster.bootstrapServers, keepsSessions: false)
            let address = proxy.address
            func member(_ calls: GroupCalls) throws -> KafkaConsumer {
                var settings = KafkaSettings(bootstrapServers: address, clientID: calls.client)
                settings.extra = [
                    "session.timeout.ms": "4000", "heartbeat.interval.ms": "100",
                    "partition.assignment.strategy": "range", "group.instance.id": calls.client,
                ]
                return try KafkaConsumer(
                    settings: settings, groupID: "g", topics: ["in"], logger: quietLogger)
            }
            let calls = [firstCalls, secondCalls]
            proxy.onRequest { request in
                for one in calls where one.client == request.clientID { one.asks(request) }
                return .pass
            }
            proxy.onAnswer { request in
                let caller = calls.first { $0.client == request.clientID }
                return caller?.holds(answerTo: request) == true ? .hold : .pass
            }
            first = try member(firstCalls)
            let (one, everything) = (first, all)
            try one.poll(until: { one.assignment == everything })
            second = try member(secondCalls)
            let deadline = ContinuousClock.now + .seconds(30)
            while !firstCalls.isJoining(times: 2), .now < deadline {
                _ = try first.poll(maximumCount: 10, timeoutMilliseconds: 10)
                _ = try second.poll(maximumCount: 10, timeoutMilliseconds: 10)
            }
            #expect(firstCalls.isJoining(times: 2) && secondCalls.isJoining(times: 1))
        }
    }

    /// One that joins for the first time does not know yet that it is a member, and librdkafka would end it without a word.
    @Test(arguments: [true, false])
    func aMemberThatEndsWhileItsGroupWaitsIsHeard(isNew: Bool) throws {
        let scene = try Scene()
        let (ending, staying) = isNew ? (scene.second, scene.first) : (scene.first, scene.second)
        let hasEnded = Mutex(false)
        Thread.detachNewThread {
            ending.close(timeoutMilliseconds: 30_000, isLeaving: true)
            hasEnded.withLock { $0 = true }
        }
        try staying.poll(until: { hasEnded.withLock { $0 } }, seconds: 60)
        #expect((isNew ? scene.secondCalls : scene.firstCalls).goodbyes == 1)
        try staying.poll(until: { staying.assignment == scene.all }, seconds: 60)
        #expect(staying.assignment == scene.all)
        staying.close()
    }

    /// librdkafka may end a group between two questions of the thread that gives partitions up, and answers the second never:
    /// whoever closes would wait for it for good.
    @Test func aRevocationThatIsNeverAnsweredDoesNotHoldUpTheEnd() throws {
        let cluster = try MockKafkaCluster(topics: [.init("in", partitions: 1)])
        let answer = DispatchSemaphore(value: 0)
        let isAsked = Mutex(false)
        let member = try KafkaConsumer(
            settings: cluster.settings, groupID: "g", topics: ["in"],
            onRevoked: { _, _ in
                isAsked.withLock { $0 = true }
                answer.wait()
            }, logger: quietLogger)
        try member.poll(until: { !member.assignment.isEmpty })
        let hasEnded = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            member.close(timeoutMilliseconds: 1_500)
            hasEnded.signal()
        }
        #expect(hasEnded.wait(timeout: .now() + 60) == .success)
        #expect(isAsked.withLock { $0 })
        answer.signal()
    }

    /// It ends in its time, and its session is left to the broker.
    @Test func aMemberThatIsNotAnsweredEndsAllTheSame() throws {
        let scene = try Scene()
        scene.firstCalls.hold()
        scene.first.close(timeoutMilliseconds: 700, isLeaving: true)
        #expect(scene.firstCalls.isJoining(times: 2))
        scene.second.close()
        scene.proxy.release()
    }
}

/// What one client asks of its group.
private final class GroupCalls: Sendable {
    private struct State {
        var joins = 0
        var isJoining = false
        var holds = false
        var goodbyes = 0
    }
    let client: String
    private let state = Mutex(State())

    init(_ client: String) { self.client = client }

    /// Whether a request to join has not been answered, and how many there were.
    func isJoining(times: Int) -> Bool { state.withLock { $0.joins == times && $0.isJoining } }

    var goodbyes: Int { state.withLock { $0.goodbyes } }

    /// Answers to requests to join come when the proxy lets go.
    func hold() { state.withLock { $0.holds = true } }

    func asks(_ request: KafkaRequest) {
        state.withLock { state in
            switch request.call {
            case .joinGroup:
                state.joins += 1
                state.isJoining = true
            case .leaveGroup: state.goodbyes += 1
            default: break
            }
        }
    }

    func holds(answerTo request: KafkaRequest) -> Bool {
        guard request.call == .joinGroup else { return false }
        return state.withLock { state in
            if !state.holds { state.isJoining = false }
            return state.holds
        }
    }
}
