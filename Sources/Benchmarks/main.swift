import Foundation

// Speed of the parts, and end to end where KAFKA_BOOTSTRAP and REDIS_URL name real ones (scripts/bench starts them).
let environment = ProcessInfo.processInfo.environment
let wanted = Set(CommandLine.arguments.dropFirst())

func isWanted(_ name: String) -> Bool { wanted.isEmpty || wanted.contains(name) }

if isWanted("parse") { benchmarkParsing() }
if isWanted("fold") { benchmarkFolding() }
if isWanted("detectors") { benchmarkDetectors() }
if isWanted("score") { try benchmarkScoring() }
if isWanted("end-to-end"), let brokers = environment["KAFKA_BOOTSTRAP"], let redis = environment["REDIS_URL"]
{
    let records = environment["BENCH_RECORDS"].flatMap(Int.init) ?? 1_000_000
    try EndToEnd(brokers: brokers, redis: redis, records: records).benchmark()
}
