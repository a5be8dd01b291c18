#if defined(__x86_64__)
#include "forest_enters.h"

#include <immintrin.h>

#define ENTER_TARGET __attribute__((target("avx2")))
#define ENTER_LANES 8
#define ENTER_VECTORS 2

typedef __m256i vector;

ENTER_TARGET static inline vector load(const int32_t *memory) { return _mm256_loadu_si256((const __m256i *)memory); }

ENTER_TARGET static inline vector fill(int32_t number) { return _mm256_set1_epi32(number); }

ENTER_TARGET static inline void store(uint32_t *memory, vector numbers) {
    _mm256_storeu_si256((__m256i *)memory, numbers);
}

ENTER_TARGET static inline vector choose(vector key, vector threshold, vector yes, vector no) {
    return _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi32(key, threshold));
}

ENTER_TARGET static inline vector shifted(vector numbers, unsigned bits) {
    return _mm256_srl_epi32(numbers, _mm_cvtsi32_si128((int)bits));
}

#include "forest_enter_loop.h"

ENTER_TARGET void forest_enter_avx2(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride,
                                    unsigned shift, size_t count, uint32_t *exits) {
    enter(block, mask, keys, stride, shift, count, exits);
}
#endif
