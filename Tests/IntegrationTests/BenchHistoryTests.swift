import Foundation
import Testing

/// The history of `scripts/bench`.
@Suite struct BenchHistoryTests {
    /// As the parts of the benchmark print it.
    private static let printed = """
        machine: 2 x CPU, 24 GiB, load 0.10
        parse, three fields                           1234567 transactions/s, 810 ns each

        end to end: 1000000 transactions of 2000 users, Kafka and Redis on this machine, exactly once
          null pipeline: 5.00 us a transaction, processor 1.20 (reads, a Redis write a user, commits)
          global model                 100000 transactions/s   (12 anomalies, 0 by users' own models)
            us a transaction: consume 0.48, window 1.54 (consume overlaps the others); processor 4.00, kafka 6.50

        produce to verdict, all published, exactly once, 20 s each
          200   /s: p50    23.0 ms, p99    37.0 ms, p99.9    41.5 ms   (4000 verdicts)
          global model, 1 process(es):     57000 transactions/s
          global model: ours 100000 transactions/s, 2.8 times the best of these; processor 4.00 us a transaction, 1/4.4 of the least
        """

    @Test func aRunAddsItsFiguresAndRatios() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (printed, history) = (folder.appending(path: "printed"), folder.appending(path: "a/history.csv"))
        try Data(Self.printed.utf8).write(to: printed)
        for _ in 0..<2 {
            let script = ServiceProcess.root.appending(path: "benchmarks/peers/history.py").path
            let ran = try Command.output(
                URL(filePath: "/usr/bin/env"), ["python3", script, "record", history.path], input: printed)
            try #require(ran.status == 0, "\(ran.text)")
        }
        let lines = try String(contentsOf: history, encoding: .utf8).split(whereSeparator: \.isNewline)
        #expect(lines[0] == "time,commit,machine,load,figure,value")
        // Both runs are kept.
        #expect(lines.count == 1 + 2 * 12)
        for figure in [
            #""parse, three fields, ns",810"#, #""null pipeline, us",5"#,
            #""null pipeline, processor us",1.2"#, #""global model, transactions/s",100000"#,
            #""global model, time / null pipeline",2"#, #""global model, processor us",4"#,
            #""global model, kafka us",6.5"#, #""latency at 200/s, p50 ms",23"#,
            #""latency at 200/s, p99.9 ms",41.5"#, #""global model, transactions/s / Python",2.8"#,
            #""global model, processor time of Python / ours",4.4"#,
        ] {
            #expect(lines.count { $0.hasSuffix(#","2 x CPU, 24 GiB",0.10,"# + figure) } == 2, "\(figure)")
        }
    }
}
