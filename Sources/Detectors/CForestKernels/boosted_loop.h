/* The loop over a tree's nodes, for vectors of BOOSTED_LANES rows: included by each kernel, which defines
 *
 *     BOOSTED_TARGET          the attribute that allows its instructions
 *     BOOSTED_LANES           4, 8 or 16
 *     vector                  BOOSTED_LANES whole numbers of 32 bits
 *     load, fill              from memory; the same number in all lanes
 *     take(v, key, t, mask)   v without the bits of mask where key is above t
 *     add_leaves(v, leaves, sums)   adds the leaf of each lane's lowest bit
 *     write_set(set, keys, target)  0 or 1 for a vector of places
 */

#define VECTORS_AT_ONCE 4

BOOSTED_TARGET static void add_tree(const boosted_node *node, const boosted_node *end, const int32_t *keys,
                                    const int32_t *leaves, int64_t *sums, size_t count) {
    size_t lane = 0;
    /* Several vectors for each node: what is loaded of it serves all of them. */
    for (; lane + VECTORS_AT_ONCE * BOOSTED_LANES <= count; lane += VECTORS_AT_ONCE * BOOSTED_LANES) {
        vector a = fill(-1), b = a, c = a, d = a;
        for (const boosted_node *n = node; n < end; n++) {
            const int32_t *row = keys + (size_t)n->row * BOOSTED_BLOCK + lane;
            vector threshold = fill(n->threshold), mask = fill((int32_t)n->mask);
            a = take(a, load(row), threshold, mask);
            b = take(b, load(row + BOOSTED_LANES), threshold, mask);
            c = take(c, load(row + 2 * BOOSTED_LANES), threshold, mask);
            d = take(d, load(row + 3 * BOOSTED_LANES), threshold, mask);
        }
        add_leaves(a, leaves, sums + lane);
        add_leaves(b, leaves, sums + lane + BOOSTED_LANES);
        add_leaves(c, leaves, sums + lane + 2 * BOOSTED_LANES);
        add_leaves(d, leaves, sums + lane + 3 * BOOSTED_LANES);
    }
    for (; lane < count; lane += BOOSTED_LANES) {
        vector a = fill(-1);
        for (const boosted_node *n = node; n < end; n++)
            a = take(a, load(keys + (size_t)n->row * BOOSTED_BLOCK + lane), fill(n->threshold),
                     fill((int32_t)n->mask));
        add_leaves(a, leaves, sums + lane);
    }
}

BOOSTED_TARGET static void add_trees(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count) {
    int32_t *scratch = keys + trees->rows * BOOSTED_BLOCK;
    for (size_t t = 0; t < trees->trees; t++) {
        const boosted_set *set = trees->sets + trees->set_starts[t], *last = trees->sets + trees->set_starts[t + 1];
        for (int32_t *target = scratch; set < last; set++, target += BOOSTED_BLOCK)
            for (size_t lane = 0; lane < count; lane += BOOSTED_LANES)
                write_set(set, keys + (size_t)set->row * BOOSTED_BLOCK + lane, target + lane);
        add_tree(trees->nodes + trees->starts[t], trees->nodes + trees->starts[t + 1], keys,
                 trees->leaves + trees->starts[t] + t, sums, count);
    }
}
