#include <cstring>

#include "csimdjson.h"

// XXH64, written from the algorithm's public description (github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
// The hash is kept in windows and artifacts, so it must never change; TransactionsTests holds vectors.

namespace {

constexpr uint64_t prime1 = 0x9E3779B185EBCA87u;
constexpr uint64_t prime2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t prime3 = 0x165667B19E3779F9u;
constexpr uint64_t prime4 = 0x85EBCA77C2B2AE63u;
constexpr uint64_t prime5 = 0x27D4EB2F165667C5u;

uint64_t rotated(uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }

/// Little-endian whatever the machine is; compilers make one load of it.
template <typename Word>
uint64_t word(const uint8_t *bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(Word); ++i) value |= uint64_t(bytes[i]) << (8 * i);
    return value;
}

uint64_t lane_step(uint64_t lane, uint64_t input) { return rotated(lane + input * prime2, 31) * prime1; }

uint64_t lane_merged(uint64_t sum, uint64_t lane) { return (sum ^ lane_step(0, lane)) * prime1 + prime4; }

}  // namespace

uint64_t csimd_text_hash(const void *start, size_t length) {
    const uint8_t *bytes = static_cast<const uint8_t *>(start);
    size_t left = length;
    uint64_t sum;
    if (left >= 32) {
        uint64_t lanes[4] = {prime1 + prime2, prime2, 0, 0 - prime1};
        for (; left >= 32; left -= 32, bytes += 32) {
            for (int i = 0; i < 4; ++i) lanes[i] = lane_step(lanes[i], word<uint64_t>(bytes + 8 * i));
        }
        sum = rotated(lanes[0], 1) + rotated(lanes[1], 7) + rotated(lanes[2], 12) + rotated(lanes[3], 18);
        for (uint64_t lane : lanes) sum = lane_merged(sum, lane);
    } else {
        sum = prime5;
    }
    sum += length;
    for (; left >= 8; left -= 8, bytes += 8) {
        sum = rotated(sum ^ lane_step(0, word<uint64_t>(bytes)), 27) * prime1 + prime4;
    }
    if (left >= 4) {
        sum = rotated(sum ^ word<uint32_t>(bytes) * prime1, 23) * prime2 + prime3;
        left -= 4;
        bytes += 4;
    }
    for (; left > 0; --left, ++bytes) sum = rotated(sum ^ *bytes * prime5, 11) * prime1;
    sum = (sum ^ (sum >> 33)) * prime2;
    sum = (sum ^ (sum >> 29)) * prime3;
    sum ^= sum >> 32;
    return sum == 0 ? 1 : sum;
}
