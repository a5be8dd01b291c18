#if defined(__x86_64__)
#include "forest_kernels.h"

#include <immintrin.h>

#define WITH_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi2,popcnt")))

/* Keys are fetched one by one: a gather takes longer for the few rows of most nodes, on some processors by far. */
WITH_AVX512 static inline __m256i fetch(const int32_t *keys, const uint16_t *rows) {
    __m128i a = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[0]]), keys[rows[1]], 1);
    __m128i b = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[2]]), keys[rows[3]], 1);
    __m128i c = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[4]]), keys[rows[5]], 1);
    __m128i d = _mm_insert_epi32(_mm_cvtsi32_si128(keys[rows[6]]), keys[rows[7]], 1);
    return _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
}

WITH_AVX512 forest_range_result forest_range_avx512(const int32_t *keys, const uint16_t *rows, size_t count,
                                             int32_t *node_keys) {
    __m256i low = _mm256_set1_epi32(INT32_MAX), high = _mm256_set1_epi32(INT32_MIN);
    size_t i = 0;
#pragma clang loop unroll(disable)
    for (; i + 8 < count; i += 8) {
        __m256i values = fetch(keys, rows + i);
        _mm256_storeu_si256((__m256i *)(node_keys + i), values);
        low = _mm256_min_epi32(low, values);
        high = _mm256_max_epi32(high, values);
    }
    __m256i values = fetch(keys, rows + i);
    _mm256_storeu_si256((__m256i *)(node_keys + i), values);
    __mmask8 rest = (__mmask8)_bzhi_u32(0xFF, (unsigned)(count - i));
    low = _mm256_mask_min_epi32(low, rest, low, values);
    high = _mm256_mask_max_epi32(high, rest, high, values);
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

/* Sixteen rows to the two growing ends. */
WITH_AVX512 static inline void part_vector(__m256i rows, __mmask16 goes_left, __mmask16 goes_right,
                                           uint16_t **left, uint16_t **right) {
    unsigned lefts = (unsigned)_mm_popcnt_u32(goes_left), rights = (unsigned)_mm_popcnt_u32(goes_right);
    _mm256_mask_storeu_epi16(*left, (__mmask16)_bzhi_u32(0xFFFF, lefts),
                             _mm256_maskz_compress_epi16(goes_left, rows));
    *left += lefts;
    *right -= rights;
    _mm256_mask_storeu_epi16(*right, (__mmask16)_bzhi_u32(0xFFFF, rights),
                             _mm256_maskz_compress_epi16(goes_right, rows));
}

WITH_AVX512 size_t forest_part_avx512(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
                               uint16_t *target) {
    __m512i threshold = _mm512_set1_epi32(word);
    uint16_t *left = target, *right = target + count;
#pragma clang loop unroll(disable)
    for (; count > 16; count -= 16, rows += 16, node_keys += 16) {
        __mmask16 goes_right = _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(node_keys), threshold);
        part_vector(_mm256_loadu_si256((const __m256i *)rows), (__mmask16)~goes_right, goes_right, &left, &right);
    }
    __mmask16 here = (__mmask16)_bzhi_u32(0xFFFF, (unsigned)count);
    __m512i values = _mm512_maskz_loadu_epi32(here, node_keys);
    __mmask16 goes_right = _mm512_mask_cmpgt_epi32_mask(here, values, threshold);
    part_vector(_mm256_maskz_loadu_epi16(here, rows), _kandn_mask16(goes_right, here), goes_right, &left, &right);
    return (size_t)(left - target);
}

WITH_AVX512 size_t forest_count_above_avx512(const int32_t *node_keys, size_t count, int32_t word) {
    __m512i threshold = _mm512_set1_epi32(word);
    size_t above = 0;
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 here = (__mmask16)_bzhi_u32(0xFFFF, count - i < 16 ? (unsigned)(count - i) : 16);
        __m512i values = _mm512_maskz_loadu_epi32(here, node_keys + i);
        above += (unsigned)_mm_popcnt_u32(_mm512_mask_cmpgt_epi32_mask(here, values, threshold));
    }
    return above;
}

WITH_AVX512 void forest_add_above_avx512(const int32_t *node_keys, const int32_t *quantities, size_t count,
                                  const int32_t *thresholds, int32_t *counts, int32_t *sums) {
    __m512i limits = _mm512_loadu_si512(thresholds);
    __m512i counted = _mm512_setzero_si512(), summed = _mm512_setzero_si512();
    for (size_t i = 0; i < count; i++) {
        __mmask16 above = _mm512_cmpgt_epi32_mask(_mm512_set1_epi32(node_keys[i]), limits);
        counted = _mm512_mask_sub_epi32(counted, above, counted, _mm512_set1_epi32(-1));
        summed = _mm512_mask_add_epi32(summed, above, summed, _mm512_set1_epi32(quantities[i]));
    }
    _mm512_storeu_si512(counts, counted);
    _mm512_storeu_si512(sums, summed);
}

WITH_AVX512 void forest_list_bits_avx512(const uint64_t *bits, size_t words, uint32_t *numbers) {
    __m512i candidates = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (size_t i = 0; i < words * 4; i++) {
        __mmask16 set = (__mmask16)(bits[i / 4] >> (i % 4 * 16));
        unsigned count = (unsigned)_mm_popcnt_u32(set);
        _mm512_mask_storeu_epi32(numbers, (__mmask16)_bzhi_u32(0xFFFF, count),
                                 _mm512_maskz_compress_epi32(set, candidates));
        numbers += count;
        candidates = _mm512_add_epi32(candidates, _mm512_set1_epi32(16));
    }
}
#endif
