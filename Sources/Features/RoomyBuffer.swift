/// The elements of an array and some free places behind them, to be moved about without the array's checks.
struct RoomyBuffer<Element: BitwiseCopyable> {
    private let elements: UnsafeMutableBufferPointer<Element>
    /// Elements in use.
    private(set) var count: Int

    fileprivate init(_ elements: UnsafeMutableBufferPointer<Element>, count: Int) {
        self.elements = elements
        self.count = count
    }

    @inline(__always)
    subscript(position: Int) -> Element {
        get { elements[position] }
        nonmutating _modify { yield &elements[position] }
    }

    /// Copies elements to another place; the two may overlap.
    @inline(__always)
    func move(_ range: Range<Int>, to target: Int) {
        guard !range.isEmpty, let start = elements.baseAddress else { return }
        (start + target).update(from: start + range.lowerBound, count: range.count)
    }

    @inline(__always)
    mutating func insert(_ element: Element, at position: Int) {
        precondition(count < elements.count, "no room for another element")
        move(position..<count, to: position + 1)
        elements[position] = element
        count += 1
    }

    @inline(__always)
    mutating func remove(_ range: Range<Int>) {
        move(range.upperBound..<count, to: range.lowerBound)
        count -= range.count
    }
}

extension Array where Element: BitwiseCopyable {
    /// Becomes an array of `count` elements, for `body` to write, that can grow by `spare` without allocating; its
    /// memory is kept if there is enough.
    ///
    /// Initialisers of a size look the array's type up at run time, which takes longer than to fill the memory first.
    @inline(__always)
    mutating func fill(
        _ count: Int, spare: Int, filler: Element, _ body: (UnsafeMutableBufferPointer<Element>) -> Void
    ) {
        removeAll(keepingCapacity: true)
        reserveCapacity(count + spare)
        append(contentsOf: repeatElement(filler, count: count))
        withUnsafeMutableBufferPointer { body($0) }
    }

    /// Lends the elements with free places for so many more.
    @inline(__always)
    mutating func withRoom(for more: Int, filler: Element, _ body: (inout RoomyBuffer<Element>) -> Void) {
        let before = count
        reserveCapacity(before + more)
        for _ in 0..<more { append(filler) }
        let used = withUnsafeMutableBufferPointer { elements in
            var buffer = RoomyBuffer(elements, count: before)
            body(&buffer)
            return buffer.count
        }
        removeLast(count - used)
    }
}

extension RoomyBuffer<RecentMember> {
    /// Puts a member into a set where it belongs: the later it was seen, the further to the front.
    ///
    /// - Returns: How many members the set has now.
    @inline(__always)
    mutating func insert(_ member: RecentMember, start: Int, count: Int, capacity: Int) -> Int {
        let end = start + count
        var known = start
        while known < end, self[known].fingerprint != member.fingerprint { known += 1 }
        // Its own place becomes free, or that of the last of a full set.
        var free = known
        if known < end {
            guard self[known].minute < member.minute else { return count }
        } else if count == capacity {
            free = end - 1
            guard RecentMember.precedes(member, self[free]) else { return count }
        }
        var target = start
        while target < free, RecentMember.precedes(self[target], member) { target += 1 }
        if free == end {
            insert(member, at: target)
            return count + 1
        }
        move(target..<free, to: target + 1)
        self[target] = member
        return count
    }
}
