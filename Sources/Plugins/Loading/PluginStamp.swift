import CDetectorPlugin

/// What a plugin says of itself before it is loaded.
struct PluginStamp: Hashable {
    var magic: String
    var cABIVersion: UInt32
    /// 0: a plugin in plain C.
    var swiftAPIVersion: UInt32
    var compiler: String

    var isPlainC: Bool { swiftAPIVersion == 0 }

    /// What this build of the host expects of a Swift plugin.
    static var host: PluginStamp { PluginStamp(detector_plugin_host_stamp().pointee) }

    /// Reads the stamp from a library's bytes.
    ///
    /// - Throws: `ELFError`; `.missingSection` for a library that carries no stamp.
    init(of file: UnsafeRawBufferPointer) throws(ELFError) {
        let section = try ELFFile(file).section(DETECTOR_PLUGIN_SECTION)
        let size = MemoryLayout<detector_plugin_stamp>.size
        guard section.count == size else {
            throw .damaged(
                section.count > 0 && section.count % size == 0
                    ? "it carries \(section.count / size) stamps" : "its stamp has \(section.count) bytes")
        }
        self.init(section.loadUnaligned(as: detector_plugin_stamp.self))
    }

    private init(_ stamp: detector_plugin_stamp) {
        magic = Self.text(stamp.magic)
        cABIVersion = UInt32(littleEndian: stamp.c_abi_version)
        swiftAPIVersion = UInt32(littleEndian: stamp.swift_api_version)
        compiler = Self.text(stamp.compiler)
    }

    /// Each field in which this differs from what the host expects; empty: it may be loaded.
    ///
    /// A plugin in plain C is bound by the C ABI alone, so neither its compiler nor a Swift version counts. A
    /// Swift plugin shares types with the host, whose layout is the compiler's business.
    func differences(from host: PluginStamp) -> [String] {
        var differences: [String] = []
        func compare(_ name: String, _ found: String, _ expected: String) {
            if found != expected { differences.append("\(name) is \(found), this host's is \(expected)") }
        }
        compare("the magic", "\"\(magic)\"", "\"\(host.magic)\"")
        compare("the C ABI version", "\(cABIVersion)", "\(host.cABIVersion)")
        if !isPlainC {
            compare("the Swift API version", "\(swiftAPIVersion)", "\(host.swiftAPIVersion)")
            compare("the compiler", "\"\(compiler)\"", "\"\(host.compiler)\"")
        }
        return differences
    }

    /// The text before the first zero, with whatever is not printable replaced: it goes into messages.
    private static func text<T>(_ characters: T) -> String {
        withUnsafeBytes(of: characters) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }.map { 32...126 ~= $0 ? $0 : 63 }, as: UTF8.self)
        }
    }
}
