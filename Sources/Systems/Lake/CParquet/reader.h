// What the opaque handles of the reader hold.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <arrow/extension_type.h>
#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>

#include "failure.h"
#include "store_file.h"

struct pq_file {
    // Declared in the order in which they must outlive each other. Batches share the pool: they may outlive the file.
    std::shared_ptr<arrow::MemoryPool> pool;
    int64_t size_bytes = 0;
    /// What the pages read so far say that they become.
    int64_t page_bytes = 0;
    std::shared_ptr<pq::StoreFile> store;
    std::unique_ptr<parquet::arrow::FileReader> reader;
    std::shared_ptr<parquet::FileMetaData> metadata;
    /// Leaf index of each top-level column, or a negative PQ_COLUMN_... value; the names beside them.
    std::vector<int32_t> leaves;
    std::vector<std::string> names;
};

struct pq_rows {
    pq_file *file;
    std::unique_ptr<arrow::RecordBatchReader> batches;
    int64_t next_row;
    int64_t end_row;
};

struct pq_batch {
    std::shared_ptr<arrow::MemoryPool> pool;
    std::shared_ptr<arrow::RecordBatch> rows;
    /// Of `rows`, in the file.
    int64_t first_row = 0;
    /// With `selected`, only these rows of `rows`, ascending.
    bool selected = false;
    std::vector<int32_t> selection;

    int64_t count() const { return selected ? static_cast<int64_t>(selection.size()) : rows->num_rows(); }
    int64_t index(int64_t row) const { return selected ? selection[row] : row; }
};

struct pq_texts {
    std::string bytes;
    /// Views into `bytes`: ascending, each once; and to find one at once.
    std::vector<std::string_view> sorted;
    std::unordered_set<std::string_view> all;
};

namespace pq {

/// The values of an array that is of an extension type, such as UUIDs; else the array.
inline const arrow::Array &plain(const arrow::Array &array) {
    return array.type_id() == arrow::Type::EXTENSION
        ? *static_cast<const arrow::ExtensionArray &>(array).storage() : array;
}

/// Calls `body` with each row of the batch and its text, or that it has none; false when the column has no texts.
/// Numbers are none.
bool for_each_written_text(
    const pq_batch &batch, int32_t column, const std::function<void(int64_t, bool, std::string_view)> &body);

/// `guard` for calls that read: a source that failed shows as whatever error Parquet made of it.
template <typename Value, typename Body>
Value guard_reading(const StoreFile &store, pq_error *error, Value failed, Body body) noexcept {
    Value value = guard(error, failed, std::move(body));
    if (error->kind != PQ_NONE && store.source_failed()) fill(error, PQ_SOURCE, source_failed_message);
    return value;
}

}  // namespace pq
