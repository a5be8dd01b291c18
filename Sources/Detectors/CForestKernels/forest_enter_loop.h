/* The first block of a tree for many rows at once, a row a lane: included by each kernel, which defines
 *
 *     ENTER_TARGET              the attribute that allows its instructions
 *     ENTER_LANES               rows of a vector, 4, 8 or 16
 *     ENTER_VECTORS             vectors that are worked on together, so that what is read of a node serves all of them
 *     vector                    ENTER_LANES whole numbers of 32 bits
 *     load, fill, store         from memory; the same number in all lanes; to memory
 *     choose(k, t, yes, no)     yes where key k is above t, else no
 *     shifted(v, bits)          to the right
 */

#define ENTER_INLINE ENTER_TARGET __attribute__((always_inline)) static inline

typedef struct group {
    vector of[ENTER_VECTORS];
} group;

typedef struct entry {
    const uint32_t *block;
    uint32_t mask;
    /* Of the group's first row. */
    const int32_t *keys;
    size_t stride;
    int vectors;
} entry;

ENTER_INLINE group leaf(const entry *e, int number) {
    group all;
    for (int i = 0; i < e->vectors; i++) all.of[i] = fill(number);
    return all;
}

ENTER_INLINE group node(const entry *e, int place, group right, group left) {
    uint32_t word = e->block[place];
    const int32_t *column = e->keys + (size_t)(word & e->mask) * e->stride;
    vector threshold = fill((int32_t)(word ^ 0x80000000));
    for (int i = 0; i < e->vectors; i++)
        left.of[i] = choose(load(column + i * ENTER_LANES), threshold, right.of[i], left.of[i]);
    return left;
}

/* The three nodes of the lowest two levels, the first of them at `upper`; the first of their exits. */
ENTER_INLINE group quarter(const entry *e, int upper, int lower, int exit) {
    return node(e, upper, node(e, lower + 1, leaf(e, exit + 3), leaf(e, exit + 2)),
                node(e, lower, leaf(e, exit + 1), leaf(e, exit)));
}

ENTER_INLINE group half(const entry *e, int first, int exit) {
    return node(e, first, quarter(e, first + 2, first + 5, exit + 4), quarter(e, first + 1, first + 3, exit));
}

ENTER_INLINE void enter_group(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride,
                              unsigned shift, int vectors, uint32_t *exits) {
    entry e = {block, mask, keys, stride, vectors};
    group found = node(&e, 15, half(&e, 8, 8), half(&e, 0, 0));
    for (int i = 0; i < vectors; i++) store(exits + i * ENTER_LANES, shifted(found.of[i], shift));
}

ENTER_TARGET static void enter(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride,
                               unsigned shift, size_t count, uint32_t *exits) {
    size_t row = 0;
    for (; row + ENTER_VECTORS * ENTER_LANES <= count; row += ENTER_VECTORS * ENTER_LANES)
        enter_group(block, mask, keys + row, stride, shift, ENTER_VECTORS, exits + row);
    for (; row < count; row += ENTER_LANES) enter_group(block, mask, keys + row, stride, shift, 1, exits + row);
}
