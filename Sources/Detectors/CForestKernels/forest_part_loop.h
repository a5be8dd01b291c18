/* Parting the rows of a node, eight at a time: included by each kernel that cannot write a part of a vector, which defines
 *
 *     PARTING_TARGET             the attribute that allows its instructions
 *     eight_rows, eight_keys     vectors
 *     fill(key)                  the same key in all lanes
 *     above(node_keys, key)      bit i is set if the key of lane i is above
 *     order(rows, goes_right)    eight rows, those first whose bit is 0
 *     store(target, rows)
 */

PARTING_TARGET static inline size_t part(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
                                         uint16_t *target) {
    eight_keys threshold = fill(word);
    uint16_t *left = target, *right = target + count;
    /* While sixteen places are free, eight rows may be written whole to either end: what is too many is overwritten. */
    while (right - left >= 16) {
        unsigned goes_right = above(node_keys, threshold);
        unsigned rights = (unsigned)__builtin_popcount(goes_right);
        eight_rows both = order(rows, goes_right);
        store(left, both);
        store(right - 8, both);
        left += 8 - rights;
        right -= rights;
        rows += 8;
        node_keys += 8;
    }
    if (right - left >= 8) {
        unsigned goes_right = above(node_keys, threshold);
        /* The rows after these eight go between those of them that go left and right. */
        eight_rows both = order(rows, goes_right);
        uint16_t last[8];
        size_t rest = (size_t)(right - left) - 8;
        unsigned lefts = 8 - (unsigned)__builtin_popcount(goes_right);
        store(last, both);
        store(left, both);
        for (unsigned i = lefts; i < 8; i++) left[rest + i] = last[i];
        left += lefts;
        right = left + rest;
        rows += 8;
        node_keys += 8;
    }
    /* Each goes to both ends, and one of the ends then moves: no branch that can be guessed wrong. */
    for (uint16_t *last = right - 1; left <= last; rows++, node_keys++) {
        size_t goes_right = *node_keys > word;
        *left = *last = *rows;
        left += 1 - goes_right;
        last -= goes_right;
    }
    return (size_t)(left - target);
}
