#include "forest_kernels.h"

/* One for each vector unit; `count` is a multiple of 16, and `mask` the low bits of a word that name a column. What is written
 * is the exit without its lowest `shift` bits. */
void forest_enter_portable(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride, unsigned shift,
                           size_t count, uint32_t *exits);
#if defined(__x86_64__)
void forest_enter_avx2(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride, unsigned shift,
                       size_t count, uint32_t *exits);
void forest_enter_avx512(const uint32_t *block, uint32_t mask, const int32_t *keys, size_t stride, unsigned shift,
                         size_t count, uint32_t *exits);
#endif
