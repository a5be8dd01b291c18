#include "forest_growing.h"

const uint64_t forest_orders[256] = {
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

vector_unit forest_growing_unit(vector_unit unit) {
#if defined(__x86_64__)
    if (unit == VECTOR_UNIT_AVX512 && !__builtin_cpu_supports("avx512vbmi2")) return VECTOR_UNIT_AVX2;
#endif
    return unit;
}
