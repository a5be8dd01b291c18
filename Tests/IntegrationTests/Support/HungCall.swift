import Foundation

/// A library that stands before librdkafka in a process: while a file exists, the call that reads does not return, as a
/// call into a library with a fault.
struct HungCall {
    private let library: URL
    private let file: URL

    private static let source = #"""
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/types.h>
        #include <unistd.h>

        typedef ssize_t (*consume)(void *, int, void **, size_t);

        ssize_t rd_kafka_consume_batch_queue(void *queue, int timeout_ms, void **messages, size_t size) {
            const char *file = getenv("HUNG_CALL_FILE");
            if (file && access(file, F_OK) == 0) {
                char met[4096];
                snprintf(met, sizeof met, "%s.met", file);
                close(open(met, O_CREAT | O_WRONLY, 0600));
                while (access(file, F_OK) == 0) usleep(10000);
            }
            consume next = (consume)dlsym(RTLD_NEXT, "rd_kafka_consume_batch_queue");
            return next(queue, timeout_ms, messages, size);
        }
        """#

    /// Compiles it.
    init(in folder: URL) throws {
        library = folder.appending(path: "libhungcall.so")
        file = folder.appending(path: "hangs")
        let source = folder.appending(path: "hungcall.c")
        try Data(Self.source.utf8).write(to: source)
        let compiler = Process()
        compiler.executableURL = URL(filePath: "/usr/bin/env")
        compiler.arguments = ["cc", "-shared", "-fPIC", "-o", library.path, source.path, "-ldl"]
        try compiler.run()
        compiler.waitUntilExit()
        guard compiler.terminationStatus == 0 else {
            throw ServiceFailure("cc: \(compiler.terminationStatus)")
        }
    }

    /// For the environment of the process.
    var variables: [String: String] { ["LD_PRELOAD": library.path, "HUNG_CALL_FILE": file.path] }

    /// The next call hangs.
    func hang() throws { try Data().write(to: file) }

    /// Whether a call hangs now.
    var isHanging: Bool { FileManager.default.fileExists(atPath: file.path + ".met") }
}
