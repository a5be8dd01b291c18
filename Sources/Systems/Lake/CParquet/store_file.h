// A file that lives elsewhere and is read by ranges.
#pragma once

#include <memory>
#include <vector>

#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/memory_pool.h>

#include "include/parquet_shim.h"

namespace pq {

struct Range {
    int64_t offset;
    int64_t length;
    int64_t end() const { return offset + length; }
};

/// Serves Arrow's reads from bytes that were fetched ahead, and asks the source for the rest.
///
/// The reader decodes on the calling thread only, without Arrow's own read-ahead and thread pools, so `fetch` decides
/// what becomes a request, and a source that blocks cannot starve one of those pools.
class StoreFile : public arrow::io::RandomAccessFile {
  public:
    StoreFile(pq_source source, pq_read_options options, std::shared_ptr<arrow::MemoryPool> pool);

    /// The few longer ranges that bring these ones. Ranges that do not lie within the file are left out: whoever reads
    /// them gets the error.
    std::vector<Range> plan(std::vector<Range> ranges) const;
    /// Fetches what `plan` says and forgets what was fetched before, but not what is pinned.
    void fetch(std::vector<Range> ranges);
    /// Fetches one range and keeps it for good.
    void pin(Range range);

    bool source_failed() const { return source_failed_; }
    const pq_read_options &options() const { return options_; }
    int64_t size() const { return source_.size_bytes; }

    arrow::Result<int64_t> GetSize() override { return source_.size_bytes; }
    arrow::Result<int64_t> ReadAt(int64_t position, int64_t length, bool allow_short, void *out) override;
    arrow::Result<int64_t> ReadAt(int64_t position, int64_t length, void *out) override {
        return ReadAt(position, length, true, out);
    }
    arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(
        int64_t position, int64_t length, bool allow_short) override;
    arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t length) override {
        return ReadAt(position, length, true);
    }
    arrow::Result<int64_t> Read(int64_t length, void *out) override;
    arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t length) override;
    arrow::Result<int64_t> Tell() const override { return position_; }
    arrow::Status Seek(int64_t position) override;
    arrow::Status Close() override;
    bool closed() const override { return closed_; }
    bool supports_zero_copy() const override { return true; }

  private:
    struct Segment {
        int64_t offset;
        std::shared_ptr<arrow::Buffer> bytes;
        bool pinned;
    };

    /// How much of the range there is; an error when that is too little.
    arrow::Result<int64_t> clamp(int64_t position, int64_t length, bool allow_short) const;
    const Segment *holding(int64_t position, int64_t length, bool pinned_only = false) const;
    arrow::Status request(int64_t position, int64_t length, uint8_t *out);
    Segment read_segment(Range range, bool pinned);

    pq_source source_;
    pq_read_options options_;
    /// Before the segments, which give their memory back to it.
    std::shared_ptr<arrow::MemoryPool> pool_;
    std::vector<Segment> segments_;
    int64_t position_ = 0;
    bool closed_ = false;
    bool source_failed_ = false;
};

}  // namespace pq
