import Glibc

/// A file's bytes, mapped for reading: what is looked at comes from the disk, and is shared by processes.
final class MappedFile: @unchecked Sendable {  // nothing is written after init
    let bytes: UnsafeRawBufferPointer

    /// nil: there is no such file, or it is empty or cannot be mapped.
    init?(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        // "Closing the file descriptor does not unmap the region": mmap(2).
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_size > 0 else { return nil }
        let size = Int(information.st_size)
        guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
            return nil
        }
        bytes = UnsafeRawBufferPointer(start: start, count: size)
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
