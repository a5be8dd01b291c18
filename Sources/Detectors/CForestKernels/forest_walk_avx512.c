#if defined(__x86_64__)
#include "forest_walks.h"

#include <immintrin.h>

#define WITH_AVX512 __attribute__((target("avx512f,bmi2"), always_inline)) static inline

/* The keys that 16 nodes ask for. A permutation reads the low bits of its indices only: five of them from
 * two registers, so a node word serves as it is. */
WITH_AVX512 __m512i pick(__m512i nodes, const __m512i *tables, unsigned table_count) {
    __m512i picked = _mm512_permutex2var_epi32(tables[0], nodes, tables[1]);
    if (table_count >= 4) {
        __m512i upper = _mm512_permutex2var_epi32(tables[2], nodes, tables[3]);
        __mmask16 is_upper = _mm512_test_epi32_mask(nodes, _mm512_set1_epi32(32));
        picked = _mm512_mask_blend_epi32(is_upper, picked, upper);
    }
    if (table_count >= 8) {
        __m512i third = _mm512_permutex2var_epi32(tables[4], nodes, tables[5]);
        __m512i fourth = _mm512_permutex2var_epi32(tables[6], nodes, tables[7]);
        __mmask16 is_upper = _mm512_test_epi32_mask(nodes, _mm512_set1_epi32(32));
        __mmask16 is_second_half = _mm512_test_epi32_mask(nodes, _mm512_set1_epi32(64));
        third = _mm512_mask_blend_epi32(is_upper, third, fourth);
        picked = _mm512_mask_blend_epi32(is_second_half, picked, third);
    }
    return picked;
}

/* All comparisons of a block at once, then the way through them. */
WITH_AVX512 unsigned leave(const uint32_t *block, const __m512i *tables, unsigned table_count) {
    __m512i nodes = _mm512_load_si512(block);
    unsigned right = _mm512_cmplt_epu32_mask(nodes, pick(nodes, tables, table_count));
    /* Bit 15 is the root: it says which byte holds the subtree, and in the upper byte it is bit 7. */
    return forest_exits[(uint8_t)(right >> (right >> 15 << 3))];
}

WITH_AVX512 void walk(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                      const uint32_t *keys, size_t key_stride, unsigned table_count, size_t count,
                      uint32_t *positions, int is_entered) {
    __m512i tables[8];
    for (size_t i = 0; i < count; i++) {
        for (unsigned t = 0; t < table_count; t++) tables[t] = _mm512_loadu_si512(keys + 16 * t);
        unsigned position = is_entered ? positions[i] : leave(words, tables, table_count) >> (4 - first_levels);
        const uint32_t *layer = words + 16;
        size_t blocks = (size_t)1 << first_levels;
        for (unsigned stage = 1; stage < stages; stage++) {
            position = position * 16 + leave(layer + (size_t)position * 16, tables, table_count);
            layer += blocks * 16;
            blocks *= 16;
        }
        positions[i] = position;
        words += word_stride;
        keys += key_stride;
    }
}

/* A copy for each number of tables, so that they stay in registers; and for two layers, the common case. */
#define WALK(table_count, stages)                                                                    \
    walk(words, word_stride, stages, first_levels, keys, key_stride, table_count, count, positions, is_entered)

__attribute__((target("avx512f,bmi2"))) void forest_walk_avx512(
    const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
    const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count, uint32_t *positions,
    int is_entered) {
    switch (key_count) {
    case 16:
    case 32:
        if (stages == 2) WALK(2, 2); else WALK(2, stages);
        break;
    case 64:
        if (stages == 2) WALK(4, 2); else WALK(4, stages);
        break;
    default:
        if (stages == 2) WALK(8, 2); else WALK(8, stages);
        break;
    }
}
#endif
