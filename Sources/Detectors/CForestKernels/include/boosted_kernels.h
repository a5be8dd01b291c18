#ifndef BOOSTED_KERNELS_H
#define BOOSTED_KERNELS_H

/* The inner loops of scoring boosted trees. Sets of leaves are words of 32 bits: every node that sends a row right takes
 * the leaves on its left from the tree's word, whether the row comes by it or not, and the lowest leaf that is left is the
 * row's (C. Lucchese et al., "QuickScorer", SIGIR 2015). So a tree is a list of comparisons without branches, made for
 * many rows at once. Leaves are whole numbers: sums are exact, and all kernels give the same. */

#include "vector_units.h"

/* Rows of a block: keys lie in rows of so many, one for each row of the table. */
#define BOOSTED_BLOCK 64
/* Leaves of a tree, at most, and categorical nodes. */
#define BOOSTED_LEAVES 32

typedef struct boosted_node {
    int32_t threshold; /* keys above it go right */
    uint32_t mask;     /* the leaves on the left */
    uint32_t row;      /* of keys */
} boosted_node;

/* A set of categories that go left: bit p of the words for place p. */
typedef struct boosted_set {
    uint32_t row; /* of keys, which are places 0 to 255 */
    uint32_t words[8];
} boosted_set;

typedef struct boosted_trees {
    size_t trees;
    /* Rows of keys that the caller has written. The rows from here on are scratch: a tree's sets, in their order, write
     * 0 for left and 1 for right there. */
    size_t rows;
    const uint32_t *starts;     /* trees + 1: of nodes */
    const boosted_node *nodes;
    const uint32_t *set_starts; /* trees + 1 */
    const boosted_set *sets;
    const int32_t *leaves;      /* of tree t from starts[t] + t on; BOOSTED_LEAVES more at the end */
} boosted_trees;

/* Adds the leaves of `count` rows to their sums.
 *
 * keys   (rows + BOOSTED_LEAVES) x BOOSTED_BLOCK, 64-byte aligned; of each row of keys the first `count`, rounded up to a
 *        multiple of 16, are read
 * sums   BOOSTED_BLOCK, 64-byte aligned; those after `count` end as anything
 * count  1 to BOOSTED_BLOCK */
void boosted_add(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count, vector_unit unit);

#endif
