import Foundation
import Lake
import Testing

@testable import Management
@testable import Models
@testable import Training

/// Who listens hears what happens, once, and nobody waits for who does not keep up.
@Suite struct EventTests {
    private func change(_ user: String?, _ version: Int) -> ModelChange {
        ModelChange(
            userID: user, sequence: version, from: nil, to: version, sha256: nil, by: "t", reason: "r",
            timeMilliseconds: 0)
    }

    /// What a listener has got by now.
    private func heard(_ hub: EventHub, _ listener: (number: Int, events: AsyncStream<EventHub.Event>)) async
        -> [String]
    {
        hub.leave(listener.number)
        var frames: [String] = []
        for await event in listener.events {
            frames.append(String(decoding: hub.frame(event), as: UTF8.self))
        }
        return frames
    }

    @Test func eventsComeWithNumbersAndWhoComesBackMissesNone() async throws {
        let hub = EventHub()
        hub.note([change(nil, 1)])
        let first = try #require(hub.listen(EventHub.Filter(), after: nil))
        hub.note([change("a", 2), change("b", 3)])
        let frames = await heard(hub, first)
        #expect(frames.count == 2)
        #expect(frames[0].hasPrefix("event: promotion\nid: \(hub.epoch)-2\ndata: {"))
        #expect(frames[0].contains("\"tenant\":\"a\"") && frames[0].hasSuffix("}\n\n"))
        hub.note([change("c", 4)])
        let again = try #require(hub.listen(EventHub.Filter(), after: "\(hub.epoch)-2"))
        #expect(await heard(hub, again).map { $0.contains("event: promotion") } == [true, true])
        // Of another process, of the future, or nonsense: something may be missing.
        for id in ["0-1", "\(hub.epoch)-99", "\(hub.epoch)--1", "x", "", "\(hub.epoch)-1-2"] {
            let strange = try #require(hub.listen(EventHub.Filter(), after: id))
            #expect(await heard(hub, strange) == ["event: missed\ndata: {}\n\n"], "\(id)")
        }
    }

    @Test func onlyTheNewestAreKept() async throws {
        let hub = EventHub()
        for version in 1...(3 * EventHub.maximumKept) { hub.note([change(nil, version)]) }
        let listener = try #require(hub.listen(EventHub.Filter(), after: "\(hub.epoch)-1"))
        let frames = await heard(hub, listener)
        #expect(frames.first == "event: missed\ndata: {}\n\n")
        #expect(frames.count <= 2 * EventHub.maximumKept)
        #expect(frames.last?.contains("\"version\":\"v\(3 * EventHub.maximumKept)\"") == true)
    }

    @Test func whoDoesNotKeepUpIsLetGo() async throws {
        let hub = EventHub()
        let slow = try #require(hub.listen(EventHub.Filter(), after: nil))
        for version in 1...10_000 { hub.note([change(nil, version)]) }
        #expect(hub.listeningSince == nil)
        var count = 0
        for await _ in slow.events { count += 1 }
        #expect(count == EventHub.maximumKept + EventHub.maximumWaiting)
    }

    /// A job takes less than the second between two looks.
    @Test func aJobThatBeganAndEndedBeforeTheFirstLookIsTold() throws {
        let day = LakeDay(dayNumber: 20_500)
        func job(_ id: String, _ milliseconds: Int64) -> TrainingJob {
            TrainingJob(
                id: id, request: TrainingRequest(from: day, to: day), createdMilliseconds: milliseconds)
        }
        let before = Int64(Date().timeIntervalSince1970 * 1_000)
        let hub = EventHub()
        #expect(hub.listeningSince == nil)
        let first = try #require(hub.listen(EventHub.Filter(), after: nil))
        let since = try #require(hub.listeningSince)
        #expect(since >= before)
        // Who comes later does not change what the first has to hear.
        _ = hub.listen(EventHub.Filter(), after: nil)
        #expect(hub.listeningSince == since)
        hub.leave(first.number)
        #expect(hub.listeningSince == since)

        let found = [job("new", since + 1), job("at once", since), job("old", since - 1)]
        #expect(JobWatch.news(found, known: nil, since: since).map(\.id) == ["at once", "new"])
        var begun = found[1]
        begun.begin(since + 2)
        let known = Dictionary(uniqueKeysWithValues: found[1...].map { ($0.id, $0) })
        #expect(
            JobWatch.news([found[0], begun, found[2]], known: known, since: since).map(\.id) == [
                "at once", "new",
            ])
        #expect(JobWatch.news(found, known: [:], since: since).count == 3)
    }

    @Test func aKeyForSomeUsersHearsOfThemAlone() async throws {
        let hub = EventHub()
        var filter = EventHub.Filter()
        filter.tenantPrefix = "eu-"
        let listener = try #require(hub.listen(filter, after: nil))
        hub.note([change("us-1", 1), change("eu-1", 2), change(nil, 3)])
        let frames = await heard(hub, listener)
        #expect(frames.count == 1 && frames[0].contains("eu-1"))
    }

    @Test func anErasedUserIsToldOfNoMore() async throws {
        let hub = EventHub()
        hub.note([change("a", 1), change("b", 2)])
        hub.erase(userID: "a")
        let listener = try #require(hub.listen(EventHub.Filter(), after: "\(hub.epoch)-0"))
        let frames = await heard(hub, listener)
        #expect(!frames.contains { $0.contains("\"tenant\":\"a\"") })
        #expect(frames.contains { $0.contains("\"tenant\":\"b\"") })
    }

    @Test func thereIsRoomForSoManyListeners() {
        let hub = EventHub()
        let listeners = (0..<EventHub.maximumListeners).compactMap { _ in
            hub.listen(EventHub.Filter(), after: nil)
        }
        #expect(listeners.count == EventHub.maximumListeners && hub.isFull)
        #expect(hub.listen(EventHub.Filter(), after: nil) == nil)
        hub.leave(listeners[0].number)
        #expect(!hub.isFull)
    }

    @Test func eventsComeOverHTTPAndEndWhenTheClientLeaves() async throws {
        let api = try await TestAPI()
        let text = try await blocking { [change] in
            let client = try api.connect()
            client.send("GET /v1/events?kind=promotion HTTP/1.1\r\nHost: test\r\n\r\n")
            let head = client.receive { $0.contains("retry:") }.text
            api.services.events.note([change("a", 7)])
            return head + client.receive { $0.contains("\"version\":\"v7\"") }.text
        }
        #expect(text.hasPrefix("HTTP/1.1 200"))
        #expect(text.lowercased().contains("content-type: text/event-stream"))
        #expect(text.contains("event: promotion\n"))
        let refused = try await blocking { try api.connect().request("GET", "/v1/events?kind=gossip") }
        #expect(refused.hasPrefix("HTTP/1.1 422"))
        // Of a head nobody listens to the body.
        let head = try await blocking { try api.connect().request("HEAD", "/v1/events") }
        #expect(head.hasPrefix("HTTP/1.1 200"))
    }
}

/// What a browser is given.
@Suite struct ConsoleAssetTests {
    @Test func thePageForbidsWhatItDoesNotNeed() async throws {
        let api = try await TestAPI()
        let page = try await blocking { try api.connect().request("GET", "/") }
        let lines = page.lowercased()
        for part in [
            "content-security-policy: default-src 'none'; script-src 'self'", "frame-ancestors 'none'",
            "x-content-type-options: nosniff", "referrer-policy: no-referrer", "content-type: text/html",
        ] { #expect(lines.contains(part), "\(part)") }
        #expect(!page.contains("<style") && !page.contains(" style=") && !page.contains(/\son\w+=/))
        // Nothing comes from elsewhere, and what it names is there.
        let names = page.matches(of: /(?:src|href)="([^"]+)"/).map { String($0.1) }
        #expect(names.sorted() == ["console.css", "console.js", "data:,"])
        for (name, type) in [("console.css", "text/css"), ("console.js", "text/javascript")] {
            let asset = try await blocking { try api.connect().request("GET", "/\(name)") }
            #expect(asset.lowercased().contains("content-type: \(type)"))
            #expect(
                !asset.contains("innerHTML") && !asset.contains("http://") || asset.contains("www.w3.org"))
        }
    }
}
