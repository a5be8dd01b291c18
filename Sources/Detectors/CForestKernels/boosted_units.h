#include "boosted_kernels.h"

/* One for each vector unit; `count` is a multiple of 16. */
void boosted_add_portable(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count);
#if defined(__x86_64__)
void boosted_add_avx2(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count);
void boosted_add_avx512(const boosted_trees *trees, int32_t *keys, int64_t *sums, size_t count);
#endif
