#if defined(__x86_64__)
#include "boosted_units.h"

#include <immintrin.h>

#define BOOSTED_TARGET __attribute__((target("avx2,bmi,bmi2")))
#define INLINE BOOSTED_TARGET static inline
#define BOOSTED_LANES 8

typedef __m256i vector;

INLINE vector load(const int32_t *memory) { return _mm256_load_si256((const __m256i *)memory); }

INLINE vector fill(int32_t number) { return _mm256_set1_epi32(number); }

INLINE vector take(vector leaves, vector key, vector threshold, vector mask) {
    return _mm256_andnot_si256(_mm256_and_si256(_mm256_cmpgt_epi32(key, threshold), mask), leaves);
}

INLINE void add_half(__m128i leaves, int64_t *sums) {
    __m256i *target = (__m256i *)sums;
    _mm256_store_si256(target, _mm256_add_epi64(_mm256_load_si256(target), _mm256_cvtepi32_epi64(leaves)));
}

INLINE void add_leaves(vector set, const int32_t *leaves, int64_t *sums) {
    /* The lowest bit alone, as a float, has its number in the exponent; the uppermost bit is a sign, which is cut off. */
    __m256i lowest = _mm256_and_si256(set, _mm256_sub_epi32(_mm256_setzero_si256(), set));
    __m256i bits = _mm256_castps_si256(_mm256_cvtepi32_ps(lowest));
    __m256i place = _mm256_sub_epi32(_mm256_srli_epi32(_mm256_slli_epi32(bits, 1), 24), fill(127));
    __m256i found = _mm256_i32gather_epi32(leaves, place, 4);
    add_half(_mm256_castsi256_si128(found), sums);
    add_half(_mm256_extracti128_si256(found, 1), sums + 4);
}

INLINE void write_set(const boosted_set *set, const int32_t *keys, int32_t *target) {
    __m256i places = load(keys);
    __m256i words = _mm256_loadu_si256((const __m256i *)set->words);
    __m256i word = _mm256_permutevar8x32_epi32(words, _mm256_srli_epi32(places, 5));
    __m256i bit = _mm256_srlv_epi32(word, _mm256_and_si256(places, fill(31)));
    _mm256_store_si256((__m256i *)target, _mm256_andnot_si256(bit, fill(1)));
}

#include "boosted_loop.h"

BOOSTED_TARGET void boosted_add_avx2(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count) {
    add_trees(trees, keys, sums, count);
}
#endif
