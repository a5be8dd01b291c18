#include <arm_neon.h>
#include <stdint.h>

/* Eight comparisons, all ones or none in each lane, as the bits of a byte: NEON has no instruction for that. The second four
 * are put above the low four bits of the first, then each lane keeps its own two bits, and a sum joins them. */
static inline unsigned neon_bits(uint32x4_t first, uint32x4_t second) {
    static const uint32_t own[4] = {0x11, 0x22, 0x44, 0x88};
    return vaddvq_u32(vandq_u32(vsliq_n_u32(first, second, 4), vld1q_u32(own)));
}
