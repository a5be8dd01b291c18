#include "boosted_units.h"

/* Vectors of 128 bits, which the compiler makes SSE2 or NEON of. */

typedef int32_t vector __attribute__((vector_size(16)));
typedef uint32_t words __attribute__((vector_size(16)));
typedef float floats __attribute__((vector_size(16)));

#define BOOSTED_TARGET
#define BOOSTED_LANES 4

static inline vector load(const int32_t *memory) { return *(const vector *)memory; }

static inline vector fill(int32_t number) { return (vector){number, number, number, number}; }

static inline vector take(vector leaves, vector key, vector threshold, vector mask) {
    return leaves & ~((key > threshold) & mask);
}

static inline void add_leaves(vector set, const int32_t *leaves, int64_t *sums) {
    /* The lowest bit alone, as a float, has its number in the exponent; the uppermost bit is a sign, which is cut off. */
    floats lowest = __builtin_convertvector((vector)((words)set & -(words)set), floats);
    vector bits;
    __builtin_memcpy(&bits, &lowest, sizeof bits);
    bits = ((bits >> 23) & 255) - 127;
    for (int lane = 0; lane < 4; lane++) sums[lane] += leaves[bits[lane]];
}

static inline void write_set(const boosted_set *set, const int32_t *keys, int32_t *target) {
    for (int lane = 0; lane < 4; lane++)
        target[lane] = (int32_t)(~set->words[keys[lane] >> 5] >> (keys[lane] & 31) & 1);
}

#include "boosted_loop.h"

void boosted_add_portable(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count) {
    add_trees(trees, keys, sums, count);
}

void boosted_add(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count, vector_unit unit) {
    count = (count + 15) & ~(size_t)15;
    switch (unit) {
#if defined(__x86_64__)
    case VECTOR_UNIT_AVX512:
        boosted_add_avx512(trees, keys, sums, count);
        break;
    case VECTOR_UNIT_AVX2:
        boosted_add_avx2(trees, keys, sums, count);
        break;
#endif
    default:
        boosted_add_portable(trees, keys, sums, count);
    }
}
