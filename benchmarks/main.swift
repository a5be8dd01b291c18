import Foundation

// Speed of the parts, and end to end where KAFKA_BOOTSTRAP and REDIS_URL name real ones (scripts/bench starts them).
//
//   Benchmarks [parse] [fold] [detectors] [score] [models] [end-to-end] [latency]   all when none is named
//   Benchmarks tenancy                       BENCH_USERS users with models of their own (100,000); only when named
//   Benchmarks rows FOLDER                                                writes the rows that detectors are measured on
//   Benchmarks peer [name=value ...]                                      answers benchmarks/peers/speed.py
//   Benchmarks boosted-peer                                               answers benchmarks/peers/boosted.py
let environment = ProcessInfo.processInfo.environment
let arguments = Array(CommandLine.arguments.dropFirst())
let wanted = Set(arguments)

func isWanted(_ name: String) -> Bool { wanted.isEmpty || wanted.contains(name) }

if arguments.first == "rows", arguments.count == 2 {
    try BenchmarkRows.large().write(to: arguments[1] + "/large.f32")
    try BenchmarkRows.users().write(to: arguments[1] + "/users.f32")
    try BoostedPeer().write(to: arguments[1])
    exit(0)
}
if arguments.first == "boosted-peer" {
    try BoostedPeer().run()
    exit(0)
}
if arguments.first == "peer" {
    try PeerWorker(Array(arguments.dropFirst())).run()
    exit(0)
}
if isWanted("parse") { benchmarkParsing() }
if isWanted("fold") { benchmarkFolding() }
if isWanted("detectors") { benchmarkDetectors() }
if isWanted("score") { try benchmarkScoring() }
if isWanted("models") { try benchmarkModels() }
if wanted.contains("tenancy") {
    try benchmarkTenancy(users: environment["BENCH_USERS"].flatMap(Int.init) ?? 100_000)
}
if isWanted("end-to-end"), let brokers = environment["KAFKA_BOOTSTRAP"], let redis = environment["REDIS_URL"]
{
    let records = environment["BENCH_RECORDS"].flatMap(Int.init) ?? 1_000_000
    try EndToEnd(brokers: brokers, redis: redis, records: records).benchmark()
}
if isWanted("latency"), let brokers = environment["KAFKA_BOOTSTRAP"], let redis = environment["REDIS_URL"] {
    let seconds = environment["BENCH_SECONDS"].flatMap(Double.init) ?? 20
    let rates = environment["BENCH_RATES"]?.split(separator: " ").compactMap { Int($0) }
    try EndToEnd(brokers: brokers, redis: redis, records: 0).latency(
        seconds: seconds, rates: rates, slowest: environment["BENCH_SLOWEST"].flatMap(Int.init) ?? 0,
        linger: environment["BENCH_LINGER"].flatMap(Int.init) ?? 0)
}
