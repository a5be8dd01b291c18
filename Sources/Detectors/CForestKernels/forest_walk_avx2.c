#if defined(__x86_64__)
#include "forest_walks.h"

#include <immintrin.h>

#define WITH_AVX2 __attribute__((target("avx2,bmi,bmi2"), always_inline)) static inline

/* The keys that eight nodes ask for. A permutation reads the low three bits of its indices only, so a node's word serves as
 * it is; the bits above choose among the tables. More than 32 keys are gathered one by one. */
WITH_AVX2 __m256i pick(__m256i nodes, const __m256i *tables, const uint32_t *keys, unsigned key_count) {
    if (key_count > 32)
        return _mm256_i32gather_epi32((const int *)keys,
                                      _mm256_and_si256(nodes, _mm256_set1_epi32((int)(key_count - 1))), 4);
    __m256 first = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(tables[0], nodes));
    __m256 second = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(tables[1], nodes));
    /* A blend reads the sign. */
    __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(nodes, 28));
    __m256 lower = _mm256_blendv_ps(first, second, bit3);
    if (key_count == 16) return _mm256_castps_si256(lower);
    first = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(tables[2], nodes));
    second = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(tables[3], nodes));
    __m256 upper = _mm256_blendv_ps(first, second, bit3);
    __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(nodes, 27));
    return _mm256_castps_si256(_mm256_blendv_ps(lower, upper, bit4));
}

/* The root says in which half of the block the walk goes on; all comparisons of that half at once give the byte that names
 * the exit. Word 7 is no node and sends nobody right, word 15 is the root itself: so bit 7 is right too. */
WITH_AVX2 unsigned leave(const uint32_t *block, const __m256i *tables, const uint32_t *keys, unsigned key_count) {
    uint32_t root = block[15];
    const uint32_t *half = block + (root < keys[root & (key_count - 1)] ? 8 : 0);
    __m256i nodes = _mm256_load_si256((const __m256i *)half);
    __m256i picked = pick(nodes, tables, keys, key_count);
    /* Not above: the greater of the two is the node's. */
    __m256i stays = _mm256_cmpeq_epi32(_mm256_max_epu32(nodes, picked), nodes);
    return forest_exits[_mm256_movemask_ps(_mm256_castsi256_ps(stays)) ^ 255];
}

WITH_AVX2 void walk(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                    const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count,
                    uint32_t *positions, int is_entered) {
    __m256i tables[4];
    for (size_t i = 0; i < count; i++) {
        for (unsigned t = 0; t < 4 && 8 * t < key_count && key_count <= 32; t++)
            tables[t] = _mm256_loadu_si256((const __m256i *)(keys + 8 * t));
        unsigned position = is_entered ? positions[i] : leave(words, tables, keys, key_count) >> (4 - first_levels);
        const uint32_t *layer = words + 16;
        size_t blocks = (size_t)1 << first_levels;
        for (unsigned stage = 1; stage < stages; stage++) {
            position = position * 16 + leave(layer + (size_t)position * 16, tables, keys, key_count);
            layer += blocks * 16;
            blocks *= 16;
        }
        positions[i] = position;
        words += word_stride;
        keys += key_stride;
    }
}

/* A copy for each number of tables, so that they stay in registers; and for two layers, the common case. */
#define WALK(key_count, stages)                                                                      \
    walk(words, word_stride, stages, first_levels, keys, key_stride, key_count, count, positions, is_entered)

__attribute__((target("avx2,bmi,bmi2"))) void forest_walk_avx2(
    const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
    const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count, uint32_t *positions,
    int is_entered) {
    switch (key_count) {
    case 16:
        if (stages == 2) WALK(16, 2); else WALK(16, stages);
        break;
    case 32:
        if (stages == 2) WALK(32, 2); else WALK(32, stages);
        break;
    default:
        WALK(key_count, stages);
        break;
    }
}
#endif
