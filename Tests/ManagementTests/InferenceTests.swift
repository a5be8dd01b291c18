import Foundation
import Testing

@testable import Management

/// Bodies that are cut into transactions, and tensors of the Open Inference Protocol, from anybody.
@Suite struct InferenceTests {
    private func cut(_ text: String) throws -> (isArray: Bool, values: [String]) {
        let (isArray, values) = try JSONElements.cut(Array(text.utf8))
        return (isArray, values.map { String(decoding: $0, as: UTF8.self) })
    }

    @Test func anArrayIsCutIntoItsElementsBytes() throws {
        #expect(try cut(" {\"a\":[1,2]} ").values == [" {\"a\":[1,2]} "])
        #expect(try cut("[]").values == [])
        #expect(try cut(" [ \n] ").values == [])
        let text = #"[{"a":"],\"[\\"},[1,{"b":[2]}] , 3 ]"#
        #expect(try cut(text).values == [#"{"a":"],\"[\\"}"#, #"[1,{"b":[2]}] "#, " 3 "])
        #expect(try cut("[1,]").values == ["1", ""])
        for broken in ["[", "[1", "[\"", "[\"\\", "[1]]", "[1] 2", "[1}", "[[1]", "[\"a\\\"]"] {
            #expect(throws: Problem.self, "\(broken)") { try cut(broken) }
        }
    }

    private func read(_ json: String, _ binary: [UInt8] = []) throws -> [InferenceTensor] {
        try InferenceRequest.read(
            Array(json.utf8) + binary, headerLength: binary.isEmpty ? nil : "\(json.utf8.count)"
        ).1
    }

    private func messages(_ tensors: [InferenceTensor]) throws -> [String] {
        try InferenceRequest.messages(tensors, limit: 10).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func tensorsBecomeTransactions() throws {
        let json = try read(
            """
            {"inputs":[{"name":"user_id","datatype":"BYTES","shape":[2,1],"data":[["u\\"1"],["u2"]]},
            {"name":"amount","datatype":"FP64","shape":[2],"data":[1.5,3]},
            {"name":"timestamp","datatype":"INT64","shape":[2],"data":[9007199254740993,-1]}]}
            """)
        #expect(
            try messages(json) == [
                #"{"user_id":"u\"1","amount":1.5,"timestamp":9007199254740993}"#,
                #"{"user_id":"u2","amount":3.0,"timestamp":-1}"#,
            ])
        let reals: [Double] = [.nan, .infinity]
        let numbers = reals.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
        let binary = try read(
            """
            {"inputs":[{"name":"country","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":10}},
            {"name":"latitude","datatype":"FP64","shape":[2],"parameters":{"binary_data_size":16}}]}
            """, [2, 0, 0, 0, 78, 76, 0, 0, 0, 0] + numbers)
        #expect(try messages(binary) == [#"{"country":"NL"}"#, #"{"latitude":1e999}"#])
    }

    @Test(arguments: [
        (#"{"inputs":[{"name":"amount","datatype":"FP64","shape":[2],"data":[1]}]}"#, "inputs.amount"),
        (#"{"inputs":[{"name":"amount","datatype":"FP64","shape":[-1],"data":[1]}]}"#, "inputs.amount"),
        (#"{"inputs":[{"name":"amount","datatype":"FP16","shape":[1],"data":[1]}]}"#, "inputs.amount"),
        (#"{"inputs":[{"name":"amount","datatype":"FP64","shape":[1],"data":["1"]}]}"#, "inputs.amount"),
        (#"{"inputs":[{"name":"amount","datatype":"INT64","shape":[1],"data":[1.5]}]}"#, "inputs.amount"),
        (#"{"inputs":[{"name":"amount","datatype":"FP64","shape":[1]}]}"#, "inputs.amount"),
        (#"{"inputs":[{"name":"colour","datatype":"FP64","shape":[1],"data":[1]}]}"#, "inputs.colour"),
        (
            #"{"inputs":[{"name":"amount","datatype":"FP64","shape":[1],"parameters":{"binary_data_size":9}}]}"#,
            "inputs.amount"
        ), (#"{"inputs":[{"name":"amount","shape":[1],"data":[1]}]}"#, "inputs.[0].datatype"),
        (#"{"inputs":[{"name":7,"datatype":"FP64","shape":[1],"data":[1]}]}"#, "inputs.[0].name"),
        (#"{"inputs":[]}"#, "inputs"), ("{}", "inputs"),
    ])
    func whatIsNoTensorIsRefused(json: String, field: String) throws {
        let problem = #expect(throws: Problem.self) { try messages(try read(json)) }
        #expect(problem?.field == field)
        #expect(problem?.status.code == 422)
    }

    @Test func lengthsFromOutsideAreChecked() throws {
        for length in ["-1", "9999", "x", ""] {
            #expect(throws: Problem.self) {
                try InferenceRequest.read(Array("{}".utf8), headerLength: length)
            }
        }
        // A text that says it is longer than what there is.
        #expect(throws: Problem.self) {
            try read(
                #"{"inputs":[{"name":"country","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}"#,
                [255, 255, 255, 255, 1])
        }
        #expect(throws: Problem.self) { try read(#"{"inputs":[]}"#, [1]) }
    }

    @Test func clientsOfTheProtocolFindTheErrorWhereTheyLook() async throws {
        let api = try await TestAPI()
        let answers = try await blocking {
            [
                try api.connect().request("GET", "/v2/models/none"),
                try api.connect().request("POST", "/v2/models/global/infer", body: "{}"),
                try api.connect().request("GET", "/v2/nothing"),
            ]
        }
        for answer in answers { #expect(answer.contains("\"error\":\""), "\(answer)") }
        let live = try await blocking { try api.connect().request("GET", "/v2/health/live") }
        #expect(live.hasPrefix("HTTP/1.1 200"))
        let ready = try await blocking { try api.connect().request("GET", "/v2/health/ready") }
        #expect(ready.hasPrefix("HTTP/1.1 503"))
    }
}
