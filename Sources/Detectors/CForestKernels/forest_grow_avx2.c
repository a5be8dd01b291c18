#if defined(__x86_64__)
#include "forest_kernels.h"

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

/* For each byte of comparisons the order of eight lanes in which those whose bit is 0 come first: a byte a lane. */
static const uint64_t orders[256] = {
#define BIT(b, i) (((b) >> (i)) & 1)
#define BITS(b) (BIT(b, 0) + BIT(b, 1) + BIT(b, 2) + BIT(b, 3) + BIT(b, 4) + BIT(b, 5) + BIT(b, 6) + BIT(b, 7))
#define BITS_BELOW(b, i) BITS((b) & ((1 << (i)) - 1))
#define PLACE(b, i) (BIT(b, i) ? 8 - BITS(b) + BITS_BELOW(b, i) : (i) - BITS_BELOW(b, i))
#define LANE(b, i) ((uint64_t)(i) << (8 * (PLACE(b, i))))
#define ORDER(b) \
    (LANE(b, 0) | LANE(b, 1) | LANE(b, 2) | LANE(b, 3) | LANE(b, 4) | LANE(b, 5) | LANE(b, 6) | LANE(b, 7))
#define ORDER4(b) ORDER(b), ORDER((b) + 1), ORDER((b) + 2), ORDER((b) + 3)
#define ORDER16(b) ORDER4(b), ORDER4((b) + 4), ORDER4((b) + 8), ORDER4((b) + 12)
#define ORDER64(b) ORDER16(b), ORDER16((b) + 16), ORDER16((b) + 32), ORDER16((b) + 48)
    ORDER64(0), ORDER64(64), ORDER64(128), ORDER64(192)};

/* Eight rows, those that go left first. */
WITH_AVX2 static inline __m128i ordered(const uint16_t *rows, unsigned goes_right) {
    __m128i order = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)orders[goes_right]));
    /* Bytes 2i and 2i + 1 for lane i. */
    __m128i bytes = _mm_add_epi16(_mm_mullo_epi16(order, _mm_set1_epi16(0x0202)), _mm_set1_epi16(0x0100));
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)rows), bytes);
}

WITH_AVX2 static inline unsigned above(const int32_t *node_keys, __m256i threshold) {
    __m256i values = _mm256_loadu_si256((const __m256i *)node_keys);
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(values, threshold)));
}

WITH_AVX2 size_t forest_part_avx2(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
                                  uint16_t *target) {
    __m256i threshold = _mm256_set1_epi32(word);
    uint16_t *left = target, *right = target + count;
    /* While sixteen places are free, eight rows may be written whole to either end: what is too many is overwritten. */
    while (right - left >= 16) {
        unsigned goes_right = above(node_keys, threshold);
        unsigned rights = (unsigned)_mm_popcnt_u32(goes_right);
        __m128i both = ordered(rows, goes_right);
        _mm_storeu_si128((__m128i *)left, both);
        _mm_storeu_si128((__m128i *)(right - 8), both);
        left += 8 - rights;
        right -= rights;
        rows += 8;
        node_keys += 8;
    }
    if (right - left >= 8) {
        unsigned goes_right = above(node_keys, threshold);
        /* The rows after these eight go between those of them that go left and right. */
        __m128i both = ordered(rows, goes_right);
        uint16_t last[8];
        size_t rest = (size_t)(right - left) - 8;
        unsigned lefts = 8 - (unsigned)_mm_popcnt_u32(goes_right);
        _mm_storeu_si128((__m128i *)last, both);
        _mm_storeu_si128((__m128i *)left, both);
        for (unsigned i = lefts; i < 8; i++) left[rest + i] = last[i];
        left += lefts;
        right = left + rest;
        rows += 8;
        node_keys += 8;
    }
    /* Each goes to both ends, and one of the ends then moves: no branch that can be guessed wrong. */
    for (uint16_t *last = right - 1; left <= last; rows++, node_keys++) {
        size_t goes_right = *node_keys > word;
        *left = *last = *rows;
        left += 1 - goes_right;
        last -= goes_right;
    }
    return (size_t)(left - target);
}

WITH_AVX2 size_t forest_count_above_avx2(const int32_t *node_keys, size_t count, int32_t word) {
    __m256i threshold = _mm256_set1_epi32(word);
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
