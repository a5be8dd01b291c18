import Features
import Transactions

/// What a window store holds of one user, for people.
public enum WindowLook: Sendable {
    case none
    /// As the next transaction would find it, but that records count which are written and not yet committed.
    case window(UserWindow)
    /// Why it cannot be read; the stream moves it aside when the user's next transaction comes.
    case damaged(String)
}

extension WindowStore {
    /// Reads one user's window; changes nothing. One round trip.
    public func look(at userID: String) throws -> WindowLook {
        var keys = UserKeys()
        keys.append(userID)
        var found = WindowLook.none
        try read(keys, partitions: []) { _, _ in
        } user: { _, stored in
            switch stored {
            case .none: found = .none
            case .foreign: found = .damaged("something else lies in its place")
            case .blob(let bytes):
                do throws(WindowStoreError) {
                    let blob = try WindowBlob(bytes, owner: TextHash.hash(userID))
                    found = .window(try blob.window(foldingBelow: .max))
                } catch {
                    found = .damaged("\(error)")
                }
            }
        }
        return found
    }
}
