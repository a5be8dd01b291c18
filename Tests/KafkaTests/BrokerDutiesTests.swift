import Testing

@testable import KafkaProxy

/// What the tests' proxy does in the place of the test stack's broker.
@Suite struct BrokerDutiesTests {
    private static let topic = "transactions"
    private static let group = "scorers"
    private static let producer = "worker-1"

    /// - Parameter write: The body.
    private static func request(
        _ call: KafkaRequest.Call, version: Int16, _ write: (inout WireWriter) -> Void
    ) -> KafkaRequest {
        framed(call, version: version, write).request
    }

    private static func framed(
        _ call: KafkaRequest.Call, version: Int16, _ write: (inout WireWriter) -> Void
    ) -> (request: KafkaRequest, bytes: [UInt8]) {
        var header = WireWriter(isFlexible: false)
        header.append(call.rawValue)
        header.append(version)
        header.append(Int32(1))
        header.append("test")
        var body = WireWriter(isFlexible: version >= call.firstFlexibleVersion)
        body.endTags()
        write(&body)
        let bytes = header.bytes + body.bytes
        return (KafkaRequest(bytes), bytes)
    }

    /// An offset in a transaction.
    private static var offsets: KafkaRequest {
        request(.transactionOffsetCommit, version: 2) { body in
            body.append(producer)
            body.append(group)
            body.append(Int64(1))
            body.append(Int16(0))
            body.append(count: 1)
            body.append(topic)
            body.append(count: 1)
            body.append(Int32(0))
            body.append(Int64(11))
            body.append(Int32(-1))
            body.append("")
        }
    }

    private static var commit: KafkaRequest {
        request(.endTransaction, version: 1) { body in
            body.append(producer)
            body.append(Int64(1))
            body.append(Int16(0))
            body.append(Int8(1))
        }
    }

    private static var committed: [UInt8] { answer(error: 0) }

    /// To the end of a transaction.
    private static func answer(error: Int16) -> [UInt8] {
        var answer = WireWriter(isFlexible: false)
        answer.append(Int32(1))
        answer.append(Int32(0))
        answer.append(error)
        return answer.bytes
    }

    private static var look: KafkaRequest {
        request(.offsetFetch, version: 7) { body in
            body.append(group)
            body.append(count: 1)
            body.append(topic)
            body.append(count: 1)
            body.append(Int32(0))
            body.endTags()
            body.append(Int8(1))
            body.endTags()
        }
    }

    /// The broker's, of before the transaction.
    private static var offset: [UInt8] {
        var answer = WireWriter(isFlexible: true)
        answer.append(Int32(1))
        answer.endTags()
        answer.append(Int32(0))
        answer.append(count: 1)
        answer.append(topic)
        answer.append(count: 1)
        answer.append(Int32(0))
        answer.append(Int64(10))
        answer.append(Int32(-1))
        answer.append("")
        answer.append(Int16(0))
        answer.endTags()
        answer.endTags()
        answer.append(Int16(0))
        answer.endTags()
        return answer.bytes
    }

    @Test func anOffsetOfBeforeATransactionThatHasEndedMeanwhileIsWithheld() {
        let duties = BrokerDuties(upstreamPort: 1)
        defer { duties.end() }
        #expect(duties.answer(to: Self.offsets) == nil)
        let look = Self.look
        #expect(look.wantsStableOffsets && duties.answer(to: look) == nil)
        // Asked while the transaction was open, it comes by when the transaction has ended.
        #expect(duties.passing(Self.committed, to: Self.commit) == Self.committed)
        #expect(duties.passing(Self.offset, to: look) != Self.offset)
        #expect(duties.unstableOffsets == 1)
        // Asked again, the broker tells what the transaction has left.
        #expect(duties.passing(Self.offset, to: Self.look) == Self.offset)
        #expect(duties.unstableOffsets == 1)
    }

    /// The broker would commit the offsets of what it has aborted.
    @Test func aTransactionThatARestartHasEndedIsNotGoneOnWith() {
        let duties = BrokerDuties(upstreamPort: 1)
        defer { duties.end() }
        #expect(duties.answer(to: Self.offsets) == nil)
        duties.brokerRestarts()
        #expect(duties.abortedTransactions == 1)
        #expect(duties.answer(to: Self.offsets) != nil)
        #expect(duties.answer(to: Self.commit) == Self.answer(error: KafkaRequest.invalidProducerEpoch))
        // Nothing is held back for it any more from whoever asks now.
        #expect(duties.passing(Self.offset, to: Self.look) == Self.offset)
        let start = Self.request(.initProducerID, version: 0) { body in
            body.append(Self.producer)
            body.append(Int32(12_000))
        }
        #expect(duties.answer(to: start) == nil)
        #expect(duties.answer(to: Self.offsets) == nil && duties.answer(to: Self.commit) == nil)
    }

    /// The broker would take a member that waits for others to join for silent: it is told of a longer session, and the
    /// duties keep the real one.
    @Test(arguments: [Int16(5), 6])
    func theBrokerIsToldOfALongSession(version: Int16) {
        func join(_ milliseconds: Int32) -> (request: KafkaRequest, bytes: [UInt8]) {
            Self.framed(.joinGroup, version: version) { body in
                body.append(Self.group)
                body.append(milliseconds)
                body.append(Int32(300_000))
                body.append("member")
                body.append("instance")
            }
        }
        let duties = BrokerDuties(upstreamPort: 1)
        defer { duties.end() }
        let (request, bytes) = join(6_000)
        #expect(request.timeoutMilliseconds == 6_000 && request.member == "member")
        #expect(duties.passing(bytes, of: request) == join(1_800_000).bytes)
        let (look, other) = Self.framed(.heartbeat, version: 0) { $0.append(Self.group) }
        #expect(duties.passing(other, of: look) == other)
    }
}
