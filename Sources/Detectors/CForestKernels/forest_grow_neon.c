#if defined(__aarch64__)
#include "forest_growing.h"
#include "neon_bits.h"

static inline int32x4_t fetch(const int32_t *keys, const uint16_t *rows) {
    int32x4_t values = vld1q_dup_s32(keys + rows[0]);
    values = vld1q_lane_s32(keys + rows[1], values, 1);
    values = vld1q_lane_s32(keys + rows[2], values, 2);
    return vld1q_lane_s32(keys + rows[3], values, 3);
}

/* All ones in the first `count` lanes. */
static inline uint32x4_t first_lanes(size_t count) {
    static const uint32_t lanes[4] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(lanes), vdupq_n_u32((uint32_t)count));
}

forest_range_result forest_range_neon(const int32_t *keys, const uint16_t *rows, size_t count, int32_t *node_keys) {
    int32x4_t low = vdupq_n_s32(INT32_MAX), high = vdupq_n_s32(INT32_MIN);
    size_t i = 0;
    for (; i + 4 < count; i += 4) {
        int32x4_t values = fetch(keys, rows + i);
        vst1q_s32(node_keys + i, values);
        low = vminq_s32(low, values);
        high = vmaxq_s32(high, values);
    }
    int32x4_t values = fetch(keys, rows + i);
    vst1q_s32(node_keys + i, values);
    uint32x4_t rest = first_lanes(count - i);
    forest_range_result result = {vminvq_s32(vminq_s32(low, vbslq_s32(rest, values, low))),
                                  vmaxvq_s32(vmaxq_s32(high, vbslq_s32(rest, values, high)))};
    return result;
}

typedef uint8x16_t eight_rows;
typedef int32x4_t eight_keys; /* the same in all lanes, so that four are enough */

static inline eight_rows order(const uint16_t *rows, unsigned goes_right) {
    uint16x8_t order = vmovl_u8(vcreate_u8(forest_orders[goes_right]));
    /* Bytes 2i and 2i + 1 for lane i. */
    uint16x8_t bytes = vmlaq_u16(vdupq_n_u16(0x0100), order, vdupq_n_u16(0x0202));
    return vqtbl1q_u8(vreinterpretq_u8_u16(vld1q_u16(rows)), vreinterpretq_u8_u16(bytes));
}

static inline void store(uint16_t *target, eight_rows rows) { vst1q_u16(target, vreinterpretq_u16_u8(rows)); }

static inline eight_keys fill(int32_t key) { return vdupq_n_s32(key); }

static inline unsigned above(const int32_t *node_keys, eight_keys threshold) {
    return neon_bits(vcgtq_s32(vld1q_s32(node_keys), threshold), vcgtq_s32(vld1q_s32(node_keys + 4), threshold));
}

#define PARTING_TARGET
#include "forest_part_loop.h"

size_t forest_part_neon(const uint16_t *rows, const int32_t *node_keys, size_t count, int32_t word,
                        uint16_t *target) {
    return part(rows, node_keys, count, word, target);
}

size_t forest_count_above_neon(const int32_t *node_keys, size_t count, int32_t word) {
    int32x4_t threshold = vdupq_n_s32(word);
    /* A comparison that holds is -1. */
    uint32x4_t sum = vdupq_n_u32(0);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) sum = vsubq_u32(sum, vcgtq_s32(vld1q_s32(node_keys + i), threshold));
    if (i < count)
        sum = vsubq_u32(
            sum, vandq_u32(vcgtq_s32(vld1q_s32(node_keys + i), threshold), first_lanes(count - i)));
    return vaddvq_u32(sum);
}

void forest_add_above_neon(const int32_t *node_keys, const int32_t *quantities, size_t count,
                           const int32_t *thresholds, int32_t *counts, int32_t *sums) {
    int32x4_t limits[4], counted[4], summed[4];
    for (int part = 0; part < 4; part++) {
        limits[part] = vld1q_s32(thresholds + 4 * part);
        counted[part] = summed[part] = vdupq_n_s32(0);
    }
    for (size_t i = 0; i < count; i++) {
        int32x4_t key = vdupq_n_s32(node_keys[i]), quantity = vdupq_n_s32(quantities[i]);
        for (int part = 0; part < 4; part++) {
            int32x4_t is_above = vreinterpretq_s32_u32(vcgtq_s32(key, limits[part]));
            counted[part] = vsubq_s32(counted[part], is_above);
            summed[part] = vaddq_s32(summed[part], vandq_s32(is_above, quantity));
        }
    }
    for (int part = 0; part < 4; part++) {
        vst1q_s32(counts + 4 * part, counted[part]);
        vst1q_s32(sums + 4 * part, summed[part]);
    }
}
#endif
