/* The kernels of forests and boosted trees against plain loops, on random trees and rows; scripts/kernels builds and runs it.
 * What vectors may read and write beyond the last row is allocated and no more, so that a sanitizer sees the rest. */

#include "CForestKernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;

/* SplitMix64 (S. Vigna). */
static uint64_t draw(void) {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

static uint32_t below(uint32_t limit) { return (uint32_t)((draw() >> 32) * limit >> 32); }

static void *room(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) abort();
    return memory;
}

/* Exactly so many bytes, for a sanitizer. */
static void *exact(size_t bytes) {
    void *memory = malloc(bytes);
    if (!memory) abort();
    return memory;
}

#define FAIL(...) (fprintf(stderr, "kernels: " __VA_ARGS__), fputc('\n', stderr), exit(1))

/* ---- Walking ---- */

typedef struct shape {
    unsigned levels, first_levels, stages;
    size_t words;
} shape;

static shape make_shape(unsigned levels) {
    shape made = {levels, 0, (levels + 3) / 4, 0};
    made.first_levels = levels - (made.stages - 1) * 4;
    size_t blocks = 1;
    for (unsigned level = made.first_levels; level < levels; level += 4) blocks += (size_t)1 << level;
    made.words = blocks * 16;
    return made;
}

/* The place of a node by the description of the layout (ForestShape.swift). */
static size_t place(const shape *tree, unsigned level, size_t position) {
    size_t first_block = 0;
    unsigned top = 0, next = tree->first_levels;
    while (level >= next) {
        first_block += (size_t)1 << top;
        top = next;
        next += 4;
    }
    unsigned depth = level - top;
    size_t block = (first_block + (position >> depth)) * 16;
    if (depth == 0) return block + 15;
    size_t within = position & (((size_t)1 << depth) - 1), half = (size_t)1 << (depth - 1);
    return block + (within >= half ? 8 : 0) + half - 1 + (within & (half - 1));
}

static unsigned plain_walk(const shape *tree, const uint32_t *words, const uint32_t *keys, unsigned key_count) {
    size_t position = 0;
    for (unsigned level = 0; level < tree->levels; level++) {
        uint32_t word = words[place(tree, level, position)];
        position = 2 * position + (word < keys[word & (key_count - 1)]);
    }
    return (unsigned)position;
}

#define TREES 37
#define ROWS 70

static size_t check_walks(vector_unit unit, unsigned key_count, unsigned levels) {
    vector_unit walking = forest_walking_unit(unit, key_count);
    shape tree = make_shape(levels);
    uint32_t *words = room(TREES * tree.words * 4);
    for (size_t i = 0; i < TREES * tree.words; i++) words[i] = UINT32_MAX;
    for (unsigned t = 0; t < TREES; t++)
        for (unsigned level = 0; level < levels; level++)
            for (size_t position = 0; position < (size_t)1 << level; position++)
                if (below(8) > 0) words[t * tree.words + place(&tree, level, position)] = (uint32_t)draw();
    unsigned stride = key_count < 32 ? 32 : key_count;
    uint32_t *keys = exact((size_t)ROWS * stride * 4);
    for (size_t i = 0; i < (size_t)ROWS * stride; i++) {
        uint32_t word = words[below((uint32_t)(TREES * tree.words))];
        /* Missing values are 0 or all ones; a key that equals the node goes left. */
        uint32_t kinds[] = {(uint32_t)draw(), (uint32_t)draw(), 0, UINT32_MAX, word, word + 1};
        keys[i] = key_count == 16 && i % 32 >= 16 ? keys[i - 16] : kinds[below(6)];
    }
    /* The same by column, as signed numbers, with no more after the last row than a multiple of 16 asks for. */
    enum { STRIDE = (ROWS + 15) / 16 * 16 };
    int32_t *by_column = exact((size_t)key_count * STRIDE * 4);
    memset(by_column, 0, (size_t)key_count * STRIDE * 4);
    for (size_t row = 0; row < ROWS; row++)
        for (size_t k = 0; k < key_count; k++)
            by_column[k * STRIDE + row] = (int32_t)(keys[row * stride + k] ^ 0x80000000);
    static const size_t counts[] = {1, 2, 3, 4, 5, 16, 37};
    uint32_t *positions = exact(STRIDE * 4);
    size_t walks = 0;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        size_t count = counts[c];
        /* The first block by lanes, and the rest of the way. */
        const uint32_t *words_of = words + c * tree.words;
        unsigned below_first = levels - tree.first_levels;
        forest_enter(words_of, tree.first_levels, by_column, STRIDE, key_count, ROWS, positions, unit);
        for (size_t row = 0; row < ROWS; row++)
            if (positions[row] != plain_walk(&tree, words_of, keys + row * stride, key_count) >> below_first)
                FAIL("%s: a walk over %u keys leaves its first block elsewhere", vector_unit_name(unit), key_count);
        walks += ROWS;
        if (walking == VECTOR_UNIT_PORTABLE) continue;
        forest_walk(words_of, 0, tree.stages, tree.first_levels, keys, stride, key_count, count, positions, 1, walking);
        for (size_t row = 0; row < count; row++)
            if (positions[row] != plain_walk(&tree, words_of, keys + row * stride, key_count))
                FAIL("%s: a walk that has left its first block ends elsewhere", vector_unit_name(unit));
        /* Rows down one tree, then one row down all trees. */
        forest_walk(words, 0, tree.stages, tree.first_levels, keys + (ROWS - count) * stride, stride, key_count, count,
                    positions, 0, walking);
        for (size_t i = 0; i < count; i++)
            if (positions[i] != plain_walk(&tree, words, keys + (ROWS - count + i) * stride, key_count))
                FAIL("%s: a walk of %u levels over %u keys ends elsewhere", vector_unit_name(unit), levels, key_count);
        forest_walk(words, tree.words, tree.stages, tree.first_levels, keys + c * stride, 0, key_count, count, positions,
                    0, walking);
        for (size_t i = 0; i < count; i++)
            if (positions[i] != plain_walk(&tree, words + i * tree.words, keys + c * stride, key_count))
                FAIL("%s: a row's walk of %u levels over %u keys ends elsewhere", vector_unit_name(unit), levels, key_count);
        walks += 3 * count;
    }
    free(words), free(keys), free(by_column), free(positions);
    return walks;
}

/* ---- Growing ---- */

static int by_number(const void *one, const void *other) {
    return (int)*(const uint16_t *)one - (int)*(const uint16_t *)other;
}

static void check_growing(vector_unit unit, size_t count) {
    const char *name = vector_unit_name(unit);
    enum { COLUMN = 300, EXCESS = 7, GUARD = 16 };
    int32_t *keys = exact(COLUMN * 4), *node_keys = exact((count + EXCESS) * 4), *quantities = exact(count * 4);
    uint16_t *rows = exact((count + EXCESS) * 2), target[GUARD + COLUMN + GUARD], plain[COLUMN];
    int32_t range = (int32_t)below(3) == 0 ? 4 : INT32_MAX;
    for (int i = 0; i < COLUMN; i++)
        keys[i] = below(9) == 0 ? (below(2) ? INT32_MIN : INT32_MAX) : (int32_t)(below((uint32_t)range)) - range / 2;
    for (size_t i = 0; i < count + EXCESS; i++) rows[i] = (uint16_t)below(COLUMN);

    forest_range_result found = forest_range(keys, rows, count, node_keys, unit);
    int32_t low = INT32_MAX, high = INT32_MIN;
    for (size_t i = 0; i < count; i++) {
        int32_t key = keys[rows[i]];
        low = key < low ? key : low;
        high = key > high ? key : high;
        if (node_keys[i] != key) FAIL("%s: a key of %zu is not copied", name, count);
    }
    if (found.low != low || found.high != high) FAIL("%s: the range of %zu keys is another", name, count);

    int32_t word = node_keys[below((uint32_t)count)];
    size_t lefts = 0;
    for (size_t i = 0; i < count; i++)
        if (node_keys[i] <= word) plain[lefts++] = rows[i];
    size_t rights = lefts;
    for (size_t i = 0; i < count; i++)
        if (node_keys[i] > word) plain[rights++] = rows[i];
    memset(target, 0xAB, sizeof target);
    if (forest_part(rows, node_keys, count, word, target + GUARD, unit) != lefts)
        FAIL("%s: of %zu rows others go left", name, count);
    uint16_t *parted = target + GUARD;
    /* Which rows are on a side matters, their order does not. */
    qsort(parted, lefts, 2, by_number), qsort(parted + lefts, count - lefts, 2, by_number);
    qsort(plain, lefts, 2, by_number), qsort(plain + lefts, count - lefts, 2, by_number);
    if (memcmp(parted, plain, count * 2) != 0) FAIL("%s: %zu rows are parted otherwise", name, count);
    for (size_t i = 0; i < GUARD; i++)
        if (target[i] != 0xABAB || parted[count + i] != 0xABAB)
            FAIL("%s: parting %zu rows writes beyond them", name, count);
    if (forest_count_above(node_keys, count, word, unit) != count - lefts)
        FAIL("%s: of %zu keys others are above", name, count);

    int32_t thresholds[16], counts[16], sums[16];
    for (int i = 0; i < 16; i++) thresholds[i] = below(2) ? node_keys[below((uint32_t)count)] : (int32_t)draw();
    for (size_t i = 0; i < count; i++) quantities[i] = (int32_t)below(4096);
    forest_add_above(node_keys, quantities, count, thresholds, counts, sums, unit);
    for (int t = 0; t < 16; t++) {
        int32_t number = 0, sum = 0;
        for (size_t i = 0; i < count; i++)
            if (node_keys[i] > thresholds[t]) number++, sum += quantities[i];
        if (counts[t] != number || sums[t] != sum) FAIL("%s: sums of %zu rows are others", name, count);
    }

    uint64_t bits[3] = {draw() & draw(), below(2) ? 0 : draw(), UINT64_MAX};
    size_t set = 0;
    for (unsigned i = 0; i < 192; i++) set += bits[i / 64] >> i % 64 & 1;
    uint32_t *numbers = exact(set * 4);
    if (forest_list_bits(bits, 3, numbers, unit)) {
        size_t next = 0;
        for (uint32_t i = 0; i < 192; i++)
            if ((bits[i / 64] >> i % 64 & 1) && numbers[next++] != i) FAIL("%s: set bits are listed otherwise", name);
    }
    free(keys), free(node_keys), free(quantities), free(rows), free(numbers);
}

/* ---- Boosted trees ---- */

enum { BOOSTED_ROWS = 9, BOOSTED_TREES = 12 };

typedef struct plain_node {
    int is_set;
    uint32_t row;
    int32_t threshold;
    const boosted_set *set;
    int left, right; /* nodes, or ~leaf */
} plain_node;

typedef struct forest {
    boosted_node nodes[BOOSTED_TREES * BOOSTED_LEAVES];
    boosted_set sets[BOOSTED_TREES * BOOSTED_LEAVES];
    plain_node plain[BOOSTED_TREES * BOOSTED_LEAVES];
    int32_t leaves[(BOOSTED_TREES + 1) * BOOSTED_LEAVES];
    uint32_t starts[BOOSTED_TREES + 1], set_starts[BOOSTED_TREES + 1];
    uint32_t node_count, set_count;
    int roots[BOOSTED_TREES];
} forest;

/* A random tree over leaves `first` to before `end`. */
static int grow(forest *made, unsigned tree, unsigned first, unsigned end) {
    if (end - first == 1) return ~(int)first;
    unsigned middle = first + 1 + below(end - first - 1);
    uint32_t number = made->node_count++;
    uint64_t mask = ((uint64_t)1 << middle) - ((uint64_t)1 << first);
    boosted_node *node = &made->nodes[number];
    plain_node *plain = &made->plain[number];
    *node = (boosted_node){(int32_t)below(9) - 4, (uint32_t)mask, below(6)};
    *plain = (plain_node){0, node->row, node->threshold, NULL, 0, 0};
    if (below(3) == 0) {
        /* The last three rows are places of categories. */
        boosted_set *set = &made->sets[made->set_count];
        set->row = 6 + below(3);
        for (int i = 0; i < 8; i++) set->words[i] = (uint32_t)draw();
        node->threshold = 0;
        node->row = BOOSTED_ROWS + (made->set_count++ - made->set_starts[tree]);
        plain->is_set = 1;
        plain->set = set;
    }
    int left = grow(made, tree, first, middle), right = grow(made, tree, middle, end);
    made->plain[number].left = left;
    made->plain[number].right = right;
    return (int)number;
}

static size_t check_boosted(vector_unit unit) {
    forest *made = room(sizeof *made);
    memset(made, 0, sizeof *made);
    for (unsigned t = 0; t < BOOSTED_TREES; t++) {
        made->starts[t] = made->node_count;
        made->set_starts[t] = made->set_count;
        made->roots[t] = grow(made, t, 0, 1 + below(BOOSTED_LEAVES));
    }
    made->starts[BOOSTED_TREES] = made->node_count;
    made->set_starts[BOOSTED_TREES] = made->set_count;
    for (size_t i = 0; i < sizeof made->leaves / 4; i++) made->leaves[i] = (int32_t)draw();
    boosted_trees trees = {
        BOOSTED_TREES, BOOSTED_ROWS, made->starts, made->nodes, made->set_starts, made->sets, made->leaves};
    int32_t *keys = room((BOOSTED_ROWS + BOOSTED_LEAVES) * BOOSTED_BLOCK * 4);
    int64_t *sums = room(BOOSTED_BLOCK * 8);
    for (int i = 0; i < 6 * BOOSTED_BLOCK; i++)
        keys[i] = below(9) == 0 ? (below(2) ? INT32_MIN : INT32_MAX) : (int32_t)below(11) - 5;
    for (int i = 6 * BOOSTED_BLOCK; i < BOOSTED_ROWS * BOOSTED_BLOCK; i++) keys[i] = (int32_t)below(256);
    size_t checked = 0;
    for (size_t count = 1; count <= BOOSTED_BLOCK; count++) {
        int64_t before[BOOSTED_BLOCK];
        for (int i = 0; i < BOOSTED_BLOCK; i++) before[i] = sums[i] = (int64_t)draw() >> 8;
        boosted_add(&trees, keys, sums, count, unit);
        for (size_t row = 0; row < count; row++) {
            int64_t sum = before[row];
            for (unsigned t = 0; t < BOOSTED_TREES; t++) {
                int at = made->roots[t];
                while (at >= 0) {
                    const plain_node *node = &made->plain[at];
                    const uint32_t *words = node->is_set ? node->set->words : NULL;
                    int32_t key = keys[(node->is_set ? node->set->row : node->row) * BOOSTED_BLOCK + row];
                    int goes_left = words ? words[key / 32] >> key % 32 & 1 : key <= node->threshold;
                    at = goes_left ? node->left : node->right;
                }
                sum += made->leaves[made->starts[t] + t + (unsigned)~at];
            }
            if (sums[row] != sum) FAIL("%s: row %zu of %zu has other leaves", vector_unit_name(unit), row, count);
            checked++;
        }
    }
    free(made), free(keys), free(sums);
    return checked;
}

int main(void) {
    static const unsigned key_counts[] = {16, 32, 64, 128, 256};
    for (int number = 0; number < VECTOR_UNIT_COUNT; number++) {
        vector_unit unit = (vector_unit)number;
        if (!vector_unit_is_supported(unit)) {
            printf("%s: not run, this processor has none\n", vector_unit_name(unit));
            continue;
        }
        size_t walks = 0, nodes = 0, rows = 0;
        for (unsigned levels = 1; levels <= 13; levels++)
            for (size_t k = 0; k < sizeof key_counts / sizeof *key_counts; k++)
                for (int repeat = 0; repeat < 3; repeat++) walks += check_walks(unit, key_counts[k], levels);
        /* The portable loops of growing are Swift's. */
        vector_unit growing = forest_growing_unit(unit);
        for (size_t count = 1; count <= 300 && growing != VECTOR_UNIT_PORTABLE; count++)
            for (int repeat = 0; repeat < 20; repeat++) check_growing(growing, count), nodes++;
        for (int repeat = 0; repeat < 50; repeat++) rows += check_boosted(unit);
        printf("%s: as plain loops: %zu walks, %zu nodes grown, %zu rows of boosted trees\n", vector_unit_name(unit), walks,
               nodes, rows);
    }
}
