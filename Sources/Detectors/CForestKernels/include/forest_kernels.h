#ifndef FOREST_KERNELS_H
#define FOREST_KERNELS_H

/* The inner loops of scoring and growing isolation forests, for instructions that Swift cannot reach. The Swift loops give
 * the same results everywhere and are what VECTOR_UNIT_PORTABLE stands for; ForestShape.swift describes the layout of
 * trees. Units that this processor does not have may not be asked for. */

#include "vector_units.h"

/* ---- Scoring ---- */

/* Greatest number of keys a row may have in forest_walk on AVX-512; on AVX2 any number will do. */
#define FOREST_WALK_MAXIMUM_KEYS 128

/* Walks `count` rows down trees: walk i reads the tree at words + i * word_stride and the keys at
 * keys + i * key_stride, and writes the number of the leaf where it ends, counted from the left.
 *
 * words       64-byte aligned; word_stride is a multiple of 16
 * stages      layers of blocks, at least 1; first_levels of the first one are used, 1 to 4
 * keys        key_count of them are read, a power of two, at least 32 on AVX-512 and 16 on AVX2; nodes may name no others
 */
void forest_walk(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                 const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count,
                 uint32_t *positions, vector_unit unit);

/* ---- Growing ---- */

typedef struct forest_range_result {
    int32_t low, high;
} forest_range_result;

/* What growing runs on where scoring runs on `unit`: it wants more of AVX-512 than every processor with AVX-512 has. */
vector_unit forest_growing_unit(vector_unit unit);

/* Copies keys[rows[i]] to node_keys[i] and gives the least and the greatest; count is at least 1.
 * Works on eight rows at once: up to seven rows after the last are read, which must name keys as well, and as many
 * node_keys after the last are written. */
forest_range_result forest_range_avx512(const int32_t *keys, const uint16_t *rows, size_t count, int32_t *node_keys);
forest_range_result forest_range_avx2(const int32_t *keys, const uint16_t *rows, size_t count, int32_t *node_keys);

/* Copies the rows whose key is not above `word` to the start of target and the others to its end.
 * Returns how many are at the start. Up to seven rows and keys after the last are read. */
size_t forest_part_avx512(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
                          uint16_t *target);
size_t forest_part_avx2(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word, uint16_t *target);

/* How many keys are above `word`. Up to seven keys after the last are read. */
size_t forest_count_above_avx512(const int32_t *node_keys, size_t count, int32_t word);
size_t forest_count_above_avx2(const int32_t *node_keys, size_t count, int32_t word);

/* For each of 16 thresholds: how many keys are above it, and the sum of their quantities. */
void forest_add_above_avx512(const int32_t *node_keys, const int32_t *quantities, size_t count,
                             const int32_t *thresholds, int32_t *counts, int32_t *sums);
void forest_add_above_avx2(const int32_t *node_keys, const int32_t *quantities, size_t count,
                           const int32_t *thresholds, int32_t *counts, int32_t *sums);

/* Writes the numbers of the set bits, lowest first. */
void forest_list_bits_avx512(const uint64_t *bits, size_t words, uint32_t *numbers);

#endif
