#if defined(__x86_64__)
#include "boosted_units.h"

#include <immintrin.h>

#define BOOSTED_TARGET __attribute__((target("avx512f,avx512cd,bmi2")))
#define INLINE BOOSTED_TARGET static inline
#define BOOSTED_LANES 16

typedef __m512i vector;

INLINE vector load(const int32_t *memory) { return _mm512_load_si512(memory); }

INLINE vector fill(int32_t number) { return _mm512_set1_epi32(number); }

INLINE vector take(vector leaves, vector key, vector threshold, vector mask) {
    return _mm512_mask_andnot_epi32(leaves, _mm512_cmpgt_epi32_mask(key, threshold), mask, leaves);
}

INLINE void add_half(__m256i leaves, int64_t *sums) {
    _mm512_store_si512(sums, _mm512_add_epi64(_mm512_load_si512(sums), _mm512_cvtepi32_epi64(leaves)));
}

INLINE void add_leaves(vector set, const int32_t *leaves, int64_t *sums) {
    __m512i lowest = _mm512_and_si512(set, _mm512_sub_epi32(_mm512_setzero_si512(), set));
    __m512i place = _mm512_sub_epi32(fill(31), _mm512_lzcnt_epi32(lowest));
    __m512i found =
        _mm512_permutex2var_epi32(_mm512_loadu_si512(leaves), place, _mm512_loadu_si512(leaves + 16));
    add_half(_mm512_castsi512_si256(found), sums);
    add_half(_mm512_extracti64x4_epi64(found, 1), sums + 8);
}

INLINE void write_set(const boosted_set *set, const int32_t *keys, int32_t *target) {
    __m512i places = load(keys);
    __m512i words = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)set->words));
    __m512i word = _mm512_permutexvar_epi32(_mm512_srli_epi32(places, 5), words);
    __m512i bit = _mm512_srlv_epi32(word, _mm512_and_si512(places, fill(31)));
    _mm512_store_si512(target, _mm512_andnot_si512(bit, fill(1)));
}

#include "boosted_loop.h"

BOOSTED_TARGET void boosted_add_avx512(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count) {
    add_trees(trees, keys, sums, count);
}
#endif
