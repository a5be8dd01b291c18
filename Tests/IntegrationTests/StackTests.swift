import Testing

/// `scripts/stack`, which the other tests and people have their servers from.
@Suite struct StackTests {
    @Test func aSetOfServersIsStartedHurtAndEnded() throws {
        try PythonScript.run("stack.py", [ServiceProcess.root.path])
    }
}
