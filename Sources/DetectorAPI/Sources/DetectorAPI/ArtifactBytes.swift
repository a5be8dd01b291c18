/// The immutable bytes of a model's artifact, aligned to 64 bytes, alive as long as somebody holds this.
public final class ArtifactBytes: Sendable {
    public static let alignment = 64

    /// Valid while this object lives.
    public nonisolated(unsafe) let bytes: UnsafeRawBufferPointer  // never written after init
    private let release: @Sendable () -> Void

    /// Takes bytes that live elsewhere, a mapped file say.
    ///
    /// - Parameter release: Called once, when nobody needs the bytes any more.
    /// - Precondition: `bytes` start at a multiple of 64, or are empty.
    public init(_ bytes: UnsafeRawBufferPointer, release: @escaping @Sendable () -> Void) {
        precondition(
            bytes.isEmpty || UInt(bitPattern: bytes.baseAddress) % UInt(Self.alignment) == 0,
            "artifact bytes must be aligned")
        self.bytes = bytes
        self.release = release
    }

    /// Copies bytes.
    public convenience init(copying source: some Collection<UInt8>) {
        self.init(count: source.count) { target in
            target.copyBytes(from: source)
        }
    }

    /// Allocates `count` bytes and has `fill` write them.
    public convenience init(count: Int, fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: Self.alignment)
        do {
            try fill(memory)
        } catch {
            memory.deallocate()
            throw error
        }
        let bytes = UnsafeRawBufferPointer(memory)
        nonisolated(unsafe) let owned = memory  // freed once, by the last owner
        self.init(bytes) { owned.deallocate() }
    }

    deinit { release() }

    /// A part of the bytes that keeps the whole alive.
    ///
    /// - Precondition: `range` lies inside and starts at a multiple of 64.
    public func slice(_ range: Range<Int>) -> ArtifactBytes {
        ArtifactBytes(UnsafeRawBufferPointer(rebasing: bytes[range])) { [self] in
            withExtendedLifetime(self) {}
        }
    }
}
