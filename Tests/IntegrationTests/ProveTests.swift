import Foundation
import Testing

/// `ml-service prove` on servers of its own: the proof that the documentation names, in short.
@Suite(.serialized) struct ProveTests {
    @Test func nothingIsLostDuplicatedOrDifferentWhateverIsKilled() throws {
        let text = try ServiceProcess.run(
            [
                "prove", "--stack", "--minutes", "0.5", "--rate", "60", "--partitions", "4", "--promote",
                "--seed", "\(Self.seed)",
            ])
        #expect(text.contains("lost 0, duplicated 0, different 0\n"), "\(text)")
        // Everything has been done to it, and it had something to lose.
        for disturbance in [
            "worker killed", "worker paused", "worker told to end", "worker added", "worker removed",
            "worker added, ended while it joined",
            "Redis killed", "Redis paused", "Redis failed over", "S3 server killed, started again",
            "workers started while the S3 server is away", "S3 server killed during a promotion",
            "broker restarted",
            "global model promoted",
            "users' models promoted",
        ] {
            #expect(text.contains("s  \(disturbance)"), "\(text)")
        }
        // A file system of one's own takes the right to mount.
        #expect(
            text.contains("s  disk of a worker full") != text.contains("\nno disk is filled: "), "\(text)")
        #expect(!text.contains("marked as inexact"), "\(text)")
    }

    /// Windows that Redis forgets make verdicts inexact: those are marked, and the others are as they should be.
    @Test func whatRedisForgetsIsMarked() throws {
        let text = try ServiceProcess.run(
            [
                "prove", "--stack", "--minutes", "0.1", "--rate", "60", "--partitions", "4", "--lose-windows",
                "--seed", "\(Self.seed)",
            ])
        #expect(text.contains("lost 0, duplicated 0, different 0\n"), "\(text)")
        #expect(text.contains("marked as inexact"), "\(text)")
    }

    @Test func itNeedsServers() throws {
        let (status, text) = try ServiceProcess.output(["prove"])
        #expect(status == 64)
        #expect(text.contains("stream.brokers"))
    }

    /// The order of what is done.
    private static let seed = 2
}
