import Foundation

/// Copies of damaged files that stay in the data directory for whoever looks into them.
package enum DamagedCopy {
    /// Removes a copy that has a user's id in it: nobody can take one user out of a file that cannot be read.
    ///
    /// - Returns: Whether it was there and had.
    package static func remove(_ path: String, naming userID: String) throws -> Bool {
        guard FileManager.default.fileExists(atPath: path) else { return false }
        let copy = try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
        guard copy.range(of: Data(userID.utf8)) != nil else { return false }
        try FileManager.default.removeItem(atPath: path)
        return true
    }
}
