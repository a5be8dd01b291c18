// What the pages of a column chunk say that they become, read from their headers without decompressing anything.
//
// A header is a struct of Thrift's compact protocol (apache/thrift, doc/specs/thrift-compact-protocol.md): PageHeader of
// parquet-format's parquet.thrift, of which field 2 is the size of the page as it is and field 3 as it lies in the file.
#include "page_headers.h"

#include <optional>

#include "failure.h"

namespace {

enum Type { TRUE = 1, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT };

/// Deeper than the headers of any version of the format.
constexpr int deepest = 8;

/// The chunk ended within a header: whoever reads that page gets the error.
struct Ended {};

class Compact {
  public:
    Compact(const uint8_t *bytes, int64_t length) : at_(bytes), end_(bytes + length) {}

    int64_t left() const { return end_ - at_; }

    uint8_t byte() {
        if (at_ == end_) throw Ended();
        return *at_++;
    }

    void pass(uint64_t count) {
        if (count > static_cast<uint64_t>(left())) throw Ended();
        at_ += count;
    }

    uint64_t varint() {
        uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            uint8_t next = byte();
            value |= static_cast<uint64_t>(next & 0x7F) << shift;
            if (next < 0x80) return value;
        }
        throw pq::Failure(PQ_DAMAGED, "a page's header is none");
    }

    int64_t number() {
        uint64_t value = varint();
        return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
    }

    /// The next field's number and type, or nothing at the end of the struct.
    std::optional<std::pair<int64_t, int>> field(int64_t last) {
        uint8_t head = byte();
        if (head == 0) return std::nullopt;
        int64_t number = head >> 4 ? last + (head >> 4) : this->number();
        return {{number, head & 0x0F}};
    }

    /// - in_list: A boolean has a byte of its own there; in a struct its type says it.
    void skip(int type, int depth, bool in_list = false) {
        if (depth > deepest) throw pq::Failure(PQ_DAMAGED, "a page's header is too deep");
        switch (type) {
        case TRUE: case FALSE: if (in_list) pass(1); return;
        case BYTE: pass(1); return;
        case I16: case I32: case I64: varint(); return;
        case DOUBLE: pass(8); return;
        case BINARY: pass(varint()); return;
        case LIST: case SET: {
            uint8_t head = byte();
            uint64_t count = head >> 4 == 15 ? varint() : head >> 4;
            // Each item has a byte at least, so that the chunk's end bounds the loop.
            for (uint64_t item = 0; item < count; item++) skip(head & 0x0F, depth + 1, true);
            return;
        }
        case STRUCT: {
            int64_t last = 0;
            while (auto next = field(last)) {
                last = next->first;
                skip(next->second, depth + 1);
            }
            return;
        }
        // No header of a page has a map.
        default: throw pq::Failure(PQ_DAMAGED, "a page's header is none");
        }
    }

  private:
    const uint8_t *at_;
    const uint8_t *end_;
};

}  // namespace

int64_t pq::bytes_of_pages(const uint8_t *chunk, int64_t length) {
    constexpr int64_t size_field = 2, compressed_field = 3;
    Compact headers(chunk, length);
    int64_t sum = 0;
    try {
        while (headers.left() > 0) {
            int64_t size = 0, compressed = 0, last = 0;
            while (auto next = headers.field(last)) {
                last = next->first;
                if (next->second == I32 && last == size_field) {
                    size = headers.number();
                } else if (next->second == I32 && last == compressed_field) {
                    compressed = headers.number();
                } else {
                    headers.skip(next->second, 0);
                }
            }
            if (size < 0 || size > INT32_MAX || compressed < 0) {
                throw Failure(PQ_DAMAGED, "a page says that its size is none");
            }
            // At most 31 bits for each byte of the chunk, of which there are not 2^32 in one buffer.
            sum += size;
            headers.pass(static_cast<uint64_t>(compressed));
        }
    } catch (const Ended &) {
    }
    return sum;
}
