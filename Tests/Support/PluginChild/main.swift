import Foundation
import Plugins

// What `ml-service detectors` does in its children, without the rest of it.
let arguments = CommandLine.arguments.dropFirst()
switch (arguments.first, arguments.dropFirst().first) {
case ("probe", let path?): exit(runProbe(path: path))
case ("verify", _): exit(runVerification(arguments: Array(arguments.dropFirst())))
case ("isolated", _): exit(runIsolatedDetector(arguments: Array(arguments.dropFirst())))
default: exit(64)
}
