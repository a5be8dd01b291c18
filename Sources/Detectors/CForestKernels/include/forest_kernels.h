#ifndef FOREST_KERNELS_H
#define FOREST_KERNELS_H

/* The inner loops of scoring and growing isolation forests, for instructions that Swift cannot reach. The Swift loops give
 * the same results everywhere and are what VECTOR_UNIT_PORTABLE stands for; ForestShape.swift describes the layout of
 * trees. Units that this processor does not have may not be asked for. */

#include "vector_units.h"

/* ---- Scoring ---- */

/* What walks rows of `key_count` keys where scoring runs on `unit`: wide tables do not fit AVX-512's registers, and NEON would
 * win too little (docs/performance.md). */
vector_unit forest_walking_unit(vector_unit unit, unsigned key_count);

/* Takes many rows through the first block of a tree: says where `count` rows leave it, counted from the left. Any unit that
 * this processor has.
 *
 * words       the tree; first_levels of its first block are used, 1 to 4
 * keys        by column: the key that a node's low bits call s, of row r, with its uppermost bit turned, is at
 *             keys[s * stride + r]; those of rows up to the next multiple of 16 are read
 * key_count   a power of two; the low bits of a node's word name a key
 * positions   written up to the next multiple of 16 */
void forest_enter(const uint32_t *words, unsigned first_levels, const int32_t *keys, size_t stride,
                  unsigned key_count, size_t count, uint32_t *positions, vector_unit unit);

/* Walks `count` rows down trees: walk i reads the tree at words + i * word_stride and the keys at
 * keys + i * key_stride, and writes the number of the leaf where it ends, counted from the left.
 *
 * words       64-byte aligned; word_stride is a multiple of 16
 * stages      layers of blocks, at least 1; first_levels of the first one are used, 1 to 4
 * keys        key_count of them, a power of two, at least 16; the low bits of a node's word name one. After 16 keys the same
 *             16 have to follow: AVX-512 takes 32
 * is_entered  1: positions say where the walks have left the first block (forest_enter), 0: they start at the root
 * unit        one that forest_walking_unit gives for key_count, and not VECTOR_UNIT_PORTABLE
 */
void forest_walk(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                 const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count, uint32_t *positions,
                 int is_entered, vector_unit unit);

/* ---- Growing ---- */

typedef struct forest_range_result {
    int32_t low, high;
} forest_range_result;

/* What growing runs on where scoring runs on `unit`: it wants more of AVX-512 than every processor with AVX-512 has. The
 * loops below take what this gives, but for VECTOR_UNIT_PORTABLE. */
vector_unit forest_growing_unit(vector_unit unit);

/* x86-64 has two kernels of each loop, arm64 has one. */
#define FOREST_KERNEL(result, name, ...) \
    result name##_avx512(__VA_ARGS__);   \
    result name##_avx2(__VA_ARGS__);     \
    result name##_neon(__VA_ARGS__);
FOREST_KERNEL(forest_range_result, forest_range, const int32_t *keys, const uint16_t *rows, size_t count,
              int32_t *node_keys)
FOREST_KERNEL(size_t, forest_part, const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
              uint16_t *target)
FOREST_KERNEL(size_t, forest_count_above, const int32_t *node_keys, size_t count, int32_t word)
FOREST_KERNEL(void, forest_add_above, const int32_t *node_keys, const int32_t *quantities, size_t count,
              const int32_t *thresholds, int32_t *counts, int32_t *sums)
void forest_list_bits_avx512(const uint64_t *bits, size_t words, uint32_t *numbers);
#undef FOREST_KERNEL

#if defined(__x86_64__)
#define FOREST_RUN(result, name, ...) \
    (unit == VECTOR_UNIT_AVX512 ? name##_avx512(__VA_ARGS__) : name##_avx2(__VA_ARGS__))
#elif defined(__aarch64__)
#define FOREST_RUN(result, name, ...) ((void)unit, name##_neon(__VA_ARGS__))
#else
/* Here the portable unit is the only one, so nobody calls these. */
#define FOREST_RUN(result, name, ...) ((void)unit, __builtin_trap(), (result){0})
#endif

/* Copies keys[rows[i]] to node_keys[i] and gives the least and the greatest; count is at least 1.
 * Works on up to eight rows at once: up to seven rows after the last are read, which must name keys as well, and as many
 * node_keys after the last are written. */
static inline forest_range_result forest_range(const int32_t *keys, const uint16_t *rows, size_t count,
                                               int32_t *node_keys, vector_unit unit) {
    return FOREST_RUN(forest_range_result, forest_range, keys, rows, count, node_keys);
}

/* Copies the rows whose key is not above `word` to the start of target and the others to its end.
 * Returns how many are at the start. Up to seven rows and keys after the last are read. */
static inline size_t forest_part(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
                                 uint16_t *target, vector_unit unit) {
    return FOREST_RUN(size_t, forest_part, rows, node_keys, count, word, target);
}

/* How many keys are above `word`. Up to seven keys after the last are read. */
static inline size_t forest_count_above(const int32_t *node_keys, size_t count, int32_t word, vector_unit unit) {
    return FOREST_RUN(size_t, forest_count_above, node_keys, count, word);
}

/* For each of 16 thresholds: how many keys are above it, and the sum of their quantities. */
static inline void forest_add_above(const int32_t *node_keys, const int32_t *quantities, size_t count,
                                    const int32_t *thresholds, int32_t *counts, int32_t *sums, vector_unit unit) {
    (void)FOREST_RUN(int, forest_add_above, node_keys, quantities, count, thresholds, counts, sums);
}

/* Writes the numbers of the set bits, lowest first. Returns 0 where the unit has no kernel for it: nothing is written. */
static inline int forest_list_bits(const uint64_t *bits, size_t words, uint32_t *numbers, vector_unit unit) {
#if defined(__x86_64__)
    if (unit == VECTOR_UNIT_AVX512) {
        forest_list_bits_avx512(bits, words, numbers);
        return 1;
    }
#endif
    (void)bits, (void)words, (void)numbers, (void)unit;
    return 0;
}

#undef FOREST_RUN

#endif
