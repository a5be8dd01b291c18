#include "store_file.h"

#include <algorithm>
#include <cstring>

#include "failure.h"

namespace pq {

StoreFile::StoreFile(pq_source source, pq_read_options options, std::shared_ptr<arrow::MemoryPool> pool)
    : source_(source), options_(options), pool_(std::move(pool)) {}

arrow::Status StoreFile::request(int64_t position, int64_t length, uint8_t *out) {
    while (length > 0) {
        int64_t part = std::min(length, options_.request_bytes);
        if (!source_.read(source_.context, position, part, out)) {
            source_failed_ = true;
            return arrow::Status::IOError(source_failed_message);
        }
        position += part;
        length -= part;
        out += part;
    }
    return arrow::Status::OK();
}

StoreFile::Segment StoreFile::read_segment(Range range, bool pinned) {
    std::shared_ptr<arrow::Buffer> bytes = check(arrow::AllocateBuffer(range.length, pool_.get()));
    check(request(range.offset, range.length, bytes->mutable_data()));
    return {range.offset, std::move(bytes), pinned};
}

void StoreFile::pin(Range range) {
    if (range.length <= 0 || holding(range.offset, range.length)) return;
    segments_.push_back(read_segment(range, true));
}

std::vector<Range> StoreFile::plan(std::vector<Range> ranges) const {
    std::erase_if(ranges, [this](const Range &range) {
        bool inside = range.offset >= 0 && range.length > 0 && range.length <= size()
            && range.offset <= size() - range.length;
        return !inside || holding(range.offset, range.length, /*pinned_only=*/true) != nullptr;
    });
    std::sort(ranges.begin(), ranges.end(), [](const Range &a, const Range &b) { return a.offset < b.offset; });
    std::vector<Range> planned;
    for (const Range &range : ranges) {
        if (planned.empty() || range.offset - planned.back().end() > options_.gap_bytes) {
            planned.push_back(range);
        } else {
            Range &last = planned.back();
            last.length = std::max(last.end(), range.end()) - last.offset;
        }
    }
    return planned;
}

void StoreFile::fetch(std::vector<Range> ranges) {
    std::erase_if(segments_, [](const Segment &segment) { return !segment.pinned; });
    for (const Range &range : plan(std::move(ranges))) segments_.push_back(read_segment(range, false));
}

const StoreFile::Segment *StoreFile::holding(int64_t position, int64_t length, bool pinned_only) const {
    for (const Segment &segment : segments_) {
        if (pinned_only && !segment.pinned) continue;
        int64_t skipped = position - segment.offset;
        if (skipped >= 0 && skipped <= segment.bytes->size() && length <= segment.bytes->size() - skipped) {
            return &segment;
        }
    }
    return nullptr;
}

arrow::Result<int64_t> StoreFile::clamp(int64_t position, int64_t length, bool allow_short) const {
    if (closed_) return arrow::Status::Invalid("the file is closed");
    if (position < 0 || length < 0) return arrow::Status::IOError("a read outside the file");
    int64_t present = std::max<int64_t>(0, std::min(length, size() - position));
    if (present < length && !allow_short) return arrow::Status::IOError("a read past the end of the file");
    return present;
}

arrow::Result<int64_t> StoreFile::ReadAt(int64_t position, int64_t length, bool allow_short, void *out) {
    ARROW_ASSIGN_OR_RAISE(length, clamp(position, length, allow_short));
    if (length == 0) return 0;
    if (const Segment *segment = holding(position, length)) {
        std::memcpy(out, segment->bytes->data() + (position - segment->offset), length);
    } else {
        ARROW_RETURN_NOT_OK(request(position, length, static_cast<uint8_t *>(out)));
    }
    return length;
}

arrow::Result<std::shared_ptr<arrow::Buffer>> StoreFile::ReadAt(
    int64_t position, int64_t length, bool allow_short) {
    ARROW_ASSIGN_OR_RAISE(length, clamp(position, length, allow_short));
    if (const Segment *segment = holding(position, length)) {
        return arrow::SliceBuffer(segment->bytes, position - segment->offset, length);
    }
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> buffer, arrow::AllocateBuffer(length, pool_.get()));
    ARROW_RETURN_NOT_OK(request(position, length, buffer->mutable_data()));
    return buffer;
}

arrow::Result<int64_t> StoreFile::Read(int64_t length, void *out) {
    ARROW_ASSIGN_OR_RAISE(length, ReadAt(position_, length, out));
    position_ += length;
    return length;
}

arrow::Result<std::shared_ptr<arrow::Buffer>> StoreFile::Read(int64_t length) {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, length));
    position_ += buffer->size();
    return buffer;
}

arrow::Status StoreFile::Seek(int64_t position) {
    if (position < 0) return arrow::Status::IOError("a position before the file");
    position_ = position;
    return arrow::Status::OK();
}

arrow::Status StoreFile::Close() {
    closed_ = true;
    segments_.clear();
    return arrow::Status::OK();
}

}  // namespace pq
