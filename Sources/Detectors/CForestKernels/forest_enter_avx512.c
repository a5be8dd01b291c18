#if defined(__x86_64__)
#include "forest_enters.h"

#include <immintrin.h>

#define ENTER_TARGET __attribute__((target("avx512f")))
#define ENTER_LANES 16
#define ENTER_VECTORS 4

typedef __m512i vector;

ENTER_TARGET static inline vector load(const int32_t *memory) { return _mm512_loadu_si512(memory); }

ENTER_TARGET static inline vector fill(int32_t number) { return _mm512_set1_epi32(number); }

ENTER_TARGET static inline void store(uint32_t *memory, vector numbers) { _mm512_storeu_si512(memory, numbers); }

ENTER_TARGET static inline vector choose(vector key, vector threshold, vector yes, vector no) {
    return _mm512_mask_mov_epi32(no, _mm512_cmpgt_epi32_mask(key, threshold), yes);
}

ENTER_TARGET static inline vector shifted(vector numbers, unsigned bits) {
    return _mm512_srl_epi32(numbers, _mm_cvtsi32_si128((int)bits));
}

#include "forest_enter_loop.h"

ENTER_TARGET void forest_enter_avx512(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride,
                                      unsigned shift, size_t count, uint32_t *exits) {
    enter(block, mask, keys, stride, shift, count, exits);
}
#endif
