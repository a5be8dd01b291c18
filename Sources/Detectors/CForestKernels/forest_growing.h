#include "forest_kernels.h"

/* For each byte of comparisons the order of eight lanes in which those whose bit is 0 come first: a byte a lane, the first in
 * the lowest. */
extern const uint64_t forest_orders[256] __attribute__((visibility("hidden")));
