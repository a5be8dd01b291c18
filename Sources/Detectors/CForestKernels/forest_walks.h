#include "forest_kernels.h"

/* Where a walk leaves a block of 15 nodes, by the byte of comparisons that decides it: bits 0 to 6 are a subtree of seven
 * nodes in the order of a heap, bit 7 is the root. */
extern const uint8_t forest_exits[256] __attribute__((visibility("hidden")));

/* As forest_walk. */
void forest_walk_avx512(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                        const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count,
                        uint32_t *positions, int is_entered);
void forest_walk_avx2(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                      const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count,
                      uint32_t *positions, int is_entered);
