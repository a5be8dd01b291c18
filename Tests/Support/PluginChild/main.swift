import Foundation
import Plugins

// What `ml-service detectors` does in its children, without the rest of it.
let arguments = CommandLine.arguments.dropFirst()
switch (arguments.first, arguments.dropFirst().first) {
case ("probe", let path?): exit(runProbe(path: path))
case ("verify", _): exit(runVerification(arguments: Array(arguments.dropFirst())))
case ("suite", let path?):
    // For sanitizers, whose shadow takes more address space than any limit leaves.
    var settings = VerificationSettings()
    settings.limits = ChildLimits(memoryMiB: 0, timeMilliseconds: 300_000)
    let verification = verifyInChild(
        path: path, executable: "/proc/self/exe", arguments: ["verify"], settings: settings)
    print(verification.table())
    exit(verification.hasPassed ? 0 : 65)
case ("isolated", _): exit(runIsolatedDetector(arguments: Array(arguments.dropFirst())))
default: exit(64)
}
