#include "forest_enters.h"

/* Vectors of 128 bits, which the compiler makes SSE2 or NEON of. */

typedef int32_t vector __attribute__((vector_size(16)));
typedef int32_t unaligned __attribute__((vector_size(16), aligned(4)));

#define ENTER_TARGET
#define ENTER_LANES 4
#define ENTER_VECTORS 4

static inline vector load(const int32_t *memory) { return *(const unaligned *)memory; }

static inline vector fill(int32_t number) { return (vector){number, number, number, number}; }

static inline void store(uint32_t *memory, vector numbers) { *(unaligned *)memory = numbers; }

static inline vector choose(vector key, vector threshold, vector yes, vector no) {
    vector is_above = key > threshold;
    return (is_above & yes) | (~is_above & no);
}

static inline vector shifted(vector numbers, unsigned bits) { return numbers >> (int32_t)bits; }

#include "forest_enter_loop.h"

void forest_enter_portable(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride, unsigned shift,
                           size_t count, uint32_t *exits) {
    enter(block, mask, keys, stride, shift, count, exits);
}

void forest_enter(const uint32_t *words, unsigned first_levels, const int32_t *keys, size_t stride,
                  unsigned key_count, size_t count, uint32_t *positions, vector_unit unit) {
    count = (count + 15) & ~(size_t)15;
    uint32_t mask = key_count - 1;
    unsigned shift = 4 - first_levels;
    switch (unit) {
#if defined(__x86_64__)
    case VECTOR_UNIT_AVX512:
        forest_enter_avx512(words, mask, keys, stride, shift, count, positions);
        break;
    case VECTOR_UNIT_AVX2:
        forest_enter_avx2(words, mask, keys, stride, shift, count, positions);
        break;
#endif
    default:
        forest_enter_portable(words, mask, keys, stride, shift, count, positions);
    }
}
