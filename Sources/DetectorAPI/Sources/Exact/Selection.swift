extension UnsafeMutableBufferPointer where Element: Comparable & BitwiseCopyable {
    /// Moves the element that sorting would put at `place` there, those that are not above it before it and those that
    /// are not below it behind it.
    ///
    /// Quickselect (C. A. R. Hoare, Communications of the ACM 4(7), 1961): time of the order of the number of elements,
    /// where sorting takes more. Which of several equal ones it is, is not said.
    ///
    ///     let median = values.withUnsafeMutableBufferPointer { $0.moveIntoPlace($0.count / 2) }
    ///
    /// - Precondition: The place exists. Elements that are not ordered, NaN, end up anywhere.
    @inlinable
    public func moveIntoPlace(_ place: Int) -> Element {
        precondition(indices.contains(place), "nothing stands at that place")
        var low = 0
        var high = count - 1
        // Each round takes off one element at least, and mostly a share of them; after many rounds that did not,
        // sorting is quicker.
        var rounds = 4 * (Int.bitWidth - count.leadingZeroBitCount)
        while high - low > 12, rounds > 0 {
            rounds -= 1
            let (first, middle, last) = (self[low], self[low + (high - low) / 2], self[high])
            let pivot = Swift.max(Swift.min(first, middle), Swift.min(Swift.max(first, middle), last))
            let below = partition(low, high) { $0 < pivot }
            if place < below {
                high = below - 1
                continue
            }
            // Only now is it worth knowing which ones equal the pivot.
            let notAbove = partition(below, high) { $0 == pivot }
            if place < notAbove { return self[place] }
            low = notAbove
        }
        if high - low > 12 {
            var rest = UnsafeMutableBufferPointer(rebasing: self[low...high])
            rest.sort()
        } else {
            sortFew(low, high)
        }
        return self[place]
    }

    /// Those that belong to the front first, then the rest. Without branches, of which the processor would guess every
    /// second one wrong.
    ///
    /// - Returns: Where the rest begins.
    @inlinable
    @inline(__always)
    func partition(_ low: Int, _ high: Int, _ isOfFront: (Element) -> Bool) -> Int {
        var end = low
        var place = low
        while place <= high {
            let value = self[place]
            self[place] = self[end]
            self[end] = value
            end &+= isOfFront(value) ? 1 : 0
            place &+= 1
        }
        return end
    }

    @inlinable
    func sortFew(_ low: Int, _ high: Int) {
        var place = low + 1
        while place <= high {
            let value = self[place]
            var hole = place
            while hole > low, self[hole - 1] > value {
                self[hole] = self[hole - 1]
                hole -= 1
            }
            self[hole] = value
            place += 1
        }
    }
}
