import Lake

extension Settings {
    /// What becomes of reading when a file of raw/ or the lake cannot be read.
    func badFiles() -> BadFiles { BadFiles(rawValue: text("lake.onbadfile")) ?? .fail }
}
