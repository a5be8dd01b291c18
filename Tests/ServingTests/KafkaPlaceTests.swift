import Testing

@testable import Serving

@Suite struct KafkaPlaceTests {
    private let place = KafkaPlace(topic: "t", group: "g", cluster: "c")

    @Test func offsetsOfAnotherTopicGroupOrClusterAreNotTakenForItsOwn() {
        #expect(place.difference(from: place) == nil)
        #expect(KafkaPlace(topic: "x", group: "g", cluster: "c").difference(from: place) != nil)
        #expect(KafkaPlace(topic: "t", group: "x", cluster: "c").difference(from: place) != nil)
        #expect(
            KafkaPlace(topic: "t", group: "g", cluster: "x").difference(from: place) == "cluster x, not c")
        // What nobody knows is no difference.
        #expect(KafkaPlace(topic: "t", group: "g", cluster: nil).difference(from: place) == nil)
    }

    @Test func itIsReadBackAndTellsOthersApart() throws {
        #expect(KafkaPlace(checkpoint: try place.checkpoint) == place)
        #expect(KafkaPlace(checkpoint: []) == nil)
        #expect(KafkaPlace(checkpoint: Array(#"{"input":"in.jsonl","offset":1}"#.utf8)) == nil)
        #expect(!FileTransactionStream.isCheckpoint(try place.checkpoint))
        #expect(!FileTransactionStream.isCheckpoint([]))
    }
}
