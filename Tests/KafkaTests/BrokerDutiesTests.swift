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
        var header = WireWriter(isFlexible: false)
        header.append(call.rawValue)
        header.append(version)
        header.append(Int32(1))
        header.append("test")
        var body = WireWriter(isFlexible: version >= call.firstFlexibleVersion)
        body.endTags()
        write(&body)
        return KafkaRequest(header.bytes + body.bytes)
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

    private static var committed: [UInt8] {
        var answer = WireWriter(isFlexible: false)
        answer.append(Int32(1))
        answer.append(Int32(0))
        answer.append(Int16(0))
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
}
