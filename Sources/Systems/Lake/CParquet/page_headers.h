#pragma once

#include <cstdint>

namespace pq {

/// What a column chunk's pages say that they become together, in bytes. Throws `Failure` at a header that is none; where
/// the chunk ends within a header or page, the sum so far.
int64_t bytes_of_pages(const uint8_t *chunk, int64_t length);

}  // namespace pq
