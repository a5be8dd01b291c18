#if defined(__x86_64__)
#include "forest_growing.h"

#include <immintrin.h>

#define WITH_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))

/* Keys are fetched one by one: a gather takes longer for the few rows of most nodes, on some processors by far. */
WITH_AVX2 static inline __m256i fetch(const int32_t *keys, const uint16_t *rows) {
    __m128i a = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[0]]), keys[rows[1]], 1);
    __m128i b = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[2]]), keys[rows[3]], 1);
    __m128i c = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[4]]), keys[rows[5]], 1);
    __m128i d = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[6]]), keys[rows[7]], 1);
    return _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
}

/* All ones in the first `count` lanes, 0 to 8. */
WITH_AVX2 static inline __m256i first_lanes(size_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

WITH_AVX2 forest_range_result forest_range_avx2(const int32_t *keys, const uint16_t *rows, size_t count,
                                                int32_t *node_keys) {
    __m256i low = _mm256_set1_epi32(INT32_MAX), high = _mm256_set1_epi32(INT32_MIN);
    size_t i = 0;
    for (; i + 8 < count; i += 8) {
        __m256i values = fetch(keys, rows + i);
        _mm256_storeu_si256((__m256i *)(node_keys + i), values);
        low = _mm256_min_epi32(low, values);
        high = _mm256_max_epi32(high, values);
    }
    __m256i values = fetch(keys, rows + i);
    _mm256_storeu_si256((__m256i *)(node_keys + i), values);
    __m256i rest = first_lanes(count - i);
    low = _mm256_min_epi32(low, _mm256_blendv_epi8(low, values, rest));
    high = _mm256_max_epi32(high, _mm256_blendv_epi8(high, values, rest));
    /* The greatest, turned round, is a least one too: both at once. */
    high = _mm256_xor_si256(high, _mm256_set1_epi32(-1));
    __m256i both = _mm256_min_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                                    _mm256_permute2x128_si256(low, high, 0x31));
    both = _mm256_min_epi32(both, _mm256_shuffle_epi32(both, 0x4E));
    both = _mm256_min_epi32(both, _mm256_shuffle_epi32(both, 0xB1));
    forest_range_result result = {_mm_cvtsi128_si32(_mm256_castsi256_si128(both)),
                                  ~_mm_cvtsi128_si32(_mm256_extracti128_si256(both, 1))};
    return result;
}

typedef __m128i eight_rows;
typedef __m256i eight_keys;

WITH_AVX2 static inline eight_rows order(const uint16_t *rows, unsigned goes_right) {
    __m128i order = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)forest_orders[goes_right]));
    /* Bytes 2i and 2i + 1 for lane i. */
    __m128i bytes = _mm_add_epi16(_mm_mullo_epi16(order, _mm_set1_epi16(0x0202)), _mm_set1_epi16(0x0100));
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)rows), bytes);
}

WITH_AVX2 static inline void store(uint16_t *target, eight_rows rows) {
    _mm_storeu_si128((__m128i *)target, rows);
}

WITH_AVX2 static inline eight_keys fill(int32_t key) { return _mm256_set1_epi32(key); }

WITH_AVX2 static inline unsigned above(const int32_t *node_keys, eight_keys threshold) {
    __m256i values = _mm256_loadu_si256((const __m256i *)node_keys);
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(values, threshold)));
}

#define PARTING_TARGET WITH_AVX2
#include "forest_part_loop.h"

WITH_AVX2 size_t forest_part_avx2(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
                                  uint16_t *target) {
    return part(rows, node_keys, count, word, target);
}

WITH_AVX2 size_t forest_count_above_avx2(const int32_t *node_keys, size_t count, int32_t word) {
    __m256i threshold = fill(word);
    size_t sum = 0, i = 0;
    for (; i + 8 <= count; i += 8) sum += (unsigned)_mm_popcnt_u32(above(node_keys + i, threshold));
    if (i < count) sum += (unsigned)_mm_popcnt_u32(_bzhi_u32(above(node_keys + i, threshold), (unsigned)(count - i)));
    return sum;
}

WITH_AVX2 void forest_add_above_avx2(const int32_t *node_keys, const int32_t *quantities, size_t count,
                                     const int32_t *thresholds, int32_t *counts, int32_t *sums) {
    __m256i low = _mm256_loadu_si256((const __m256i *)thresholds);
    __m256i high = _mm256_loadu_si256((const __m256i *)(thresholds + 8));
    __m256i counted[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, summed[2] = {counted[0], counted[0]};
    for (size_t i = 0; i < count; i++) {
        __m256i key = _mm256_set1_epi32(node_keys[i]), quantity = _mm256_set1_epi32(quantities[i]);
        __m256i above_low = _mm256_cmpgt_epi32(key, low), above_high = _mm256_cmpgt_epi32(key, high);
        counted[0] = _mm256_sub_epi32(counted[0], above_low);
        counted[1] = _mm256_sub_epi32(counted[1], above_high);
        summed[0] = _mm256_add_epi32(summed[0], _mm256_and_si256(above_low, quantity));
        summed[1] = _mm256_add_epi32(summed[1], _mm256_and_si256(above_high, quantity));
    }
    for (int half = 0; half < 2; half++) {
        _mm256_storeu_si256((__m256i *)(counts + 8 * half), counted[half]);
        _mm256_storeu_si256((__m256i *)(sums + 8 * half), summed[half]);
    }
}
#endif
