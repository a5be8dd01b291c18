#ifndef FOREST_WALK_H
#define FOREST_WALK_H

/* The inner loop of scoring for processors with AVX-512, which Swift cannot reach. The Swift walk gives the
 * same positions everywhere; ForestShape.swift describes the layout that both read. */

#include <stddef.h>
#include <stdint.h>

/* Greatest number of keys a row may have here, a power of two. */
#define FOREST_WALK_MAXIMUM_KEYS 128

/* 1 if this processor and system can run forest_walk. */
int forest_walk_is_supported(void);

/* Walks `count` rows down trees: walk i reads the tree at words + i * word_stride and the keys at
 * keys + i * key_stride, and writes the number of the leaf where it ends, counted from the left.
 *
 * words       64-byte aligned; word_stride is a multiple of 16
 * stages      layers of blocks, at least 1; first_levels of the first one are used, 1 to 4
 * keys        key_count of them are read: 32, 64 or 128; nodes may name no others */
void forest_walk(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                 const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count,
                 uint32_t *positions);

#endif
