#include "forest_walks.h"

const uint8_t forest_exits[256] = {
#define GO(b, i) (2 * (i) + 1 + (((b) >> (i)) & 1))
#define EXIT(b) (uint8_t)((((b) >> 7) * 8) + GO(b, GO(b, GO(b, 0))) - 7)
#define EXIT4(b) EXIT(b), EXIT((b) + 1), EXIT((b) + 2), EXIT((b) + 3)
#define EXIT16(b) EXIT4(b), EXIT4((b) + 4), EXIT4((b) + 8), EXIT4((b) + 12)
#define EXIT64(b) EXIT16(b), EXIT16((b) + 16), EXIT16((b) + 32), EXIT16((b) + 48)
    EXIT64(0), EXIT64(64), EXIT64(128), EXIT64(192)};

void forest_walk(const uint32_t *words, size_t word_stride, unsigned stages, unsigned first_levels,
                 const uint32_t *keys, size_t key_stride, unsigned key_count, size_t count, uint32_t *positions,
                 int is_entered, vector_unit unit) {
#if defined(__x86_64__)
    if (unit == VECTOR_UNIT_AVX512)
        forest_walk_avx512(words, word_stride, stages, first_levels, keys, key_stride, key_count, count, positions,
                           is_entered);
    else
        forest_walk_avx2(words, word_stride, stages, first_levels, keys, key_stride, key_count, count, positions,
                         is_entered);
#else
    (void)words, (void)word_stride, (void)stages, (void)first_levels, (void)keys, (void)key_stride;
    (void)key_count, (void)is_entered, (void)unit;
    for (size_t i = 0; i < count; i++) positions[i] = 0;
#endif
}

vector_unit forest_walking_unit(vector_unit unit, unsigned key_count) {
    if (unit == VECTOR_UNIT_AVX512 && key_count > 128) return VECTOR_UNIT_AVX2;
    if (unit == VECTOR_UNIT_NEON) return VECTOR_UNIT_PORTABLE;
    return unit;
}
