#include "reader.h"

#include <algorithm>
#include <cstring>

#include <arrow/type_traits.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include "page_headers.h"

namespace {

/// The biggest part of a footer that a hostile file can blow up are its lists and strings.
constexpr int32_t thrift_string_bytes = 16 << 20;
constexpr int32_t thrift_container_items = 1 << 20;

void find_leaves(pq_file &file) {
    const parquet::SchemaDescriptor &schema = *file.metadata->schema();
    const parquet::schema::GroupNode &root = *schema.group_node();
    for (int field = 0; field < root.field_count(); field++) {
        const auto &node = root.field(field);
        file.names.push_back(node->name());
        file.leaves.push_back(node->is_primitive() && !node->is_repeated() ? field : PQ_COLUMN_NESTED);
    }
    // A nested column has several leaves, so the leaf's number is not the field's.
    std::vector<int32_t> leaf_of_field(root.field_count(), PQ_COLUMN_NESTED);
    for (int leaf = schema.num_columns() - 1; leaf >= 0; leaf--) {
        const parquet::schema::Node *column_root = schema.GetColumnRoot(leaf);
        int field = root.FieldIndex(*column_root);
        if (field >= 0) leaf_of_field[field] = leaf;
    }
    for (size_t field = 0; field < file.leaves.size(); field++) {
        if (file.leaves[field] >= 0) file.leaves[field] = leaf_of_field[field];
    }
}

void check_counts(const parquet::FileMetaData &metadata) {
    int64_t rows = 0;
    for (int group = 0; group < metadata.num_row_groups(); group++) {
        int64_t count = metadata.RowGroup(group)->num_rows();
        if (count < 0 || count > metadata.num_rows() - rows) {
            throw pq::Failure(PQ_DAMAGED, "the row groups' counts do not add up");
        }
        rows += count;
    }
    if (rows != metadata.num_rows()) throw pq::Failure(PQ_DAMAGED, "the row groups' counts do not add up");
}

// What a sound file may become. A few bytes can stand for any number of rows or for gigabytes of text, and several
// chunks of a hostile file can be the same bytes: the work is to be known before it is begun. Transactions have ids and
// times of their own, so that no honest file comes near these.
constexpr int64_t free_rows = 1 << 20;
constexpr int64_t rows_per_byte = 64;
constexpr int64_t free_bytes = 64 << 20;
constexpr int64_t expansion = 1000;

std::string mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

void check_expansion(int64_t bytes, int64_t file_bytes) {
    if (bytes > free_bytes && bytes / expansion > file_bytes) {
        throw pq::Failure(
            PQ_MEMORY, "its " + std::to_string(file_bytes) + " bytes would become " + mebibytes(bytes));
    }
}

void check_sizes(const parquet::FileMetaData &metadata, int64_t file_bytes, int64_t memory_bytes) {
    if (metadata.num_rows() > free_rows + rows_per_byte * file_bytes) {
        throw pq::Failure(
            PQ_MEMORY, "it says that its " + std::to_string(file_bytes) + " bytes hold "
                + std::to_string(metadata.num_rows()) + " rows");
    }
    int64_t compressed = 0, uncompressed = 0;
    for (int group = 0; group < metadata.num_row_groups(); group++) {
        auto row_group = metadata.RowGroup(group);
        int64_t of_group = 0;
        for (int column = 0; column < row_group->num_columns(); column++) {
            auto chunk = row_group->ColumnChunk(column);
            if (chunk->total_compressed_size() < 0 || chunk->total_uncompressed_size() < 0
                || __builtin_add_overflow(compressed, chunk->total_compressed_size(), &compressed)
                || __builtin_add_overflow(of_group, chunk->total_uncompressed_size(), &of_group)) {
                throw pq::Failure(PQ_DAMAGED, "a column says that its size is none");
            }
        }
        if (of_group > memory_bytes) {
            throw pq::Failure(
                PQ_MEMORY, "a row group becomes " + mebibytes(of_group) + ", more than the " + mebibytes(memory_bytes)
                    + " that one file may take; write smaller row groups");
        }
        if (__builtin_add_overflow(uncompressed, of_group, &uncompressed)) uncompressed = INT64_MAX;
    }
    if (compressed > file_bytes) {
        throw pq::Failure(PQ_DAMAGED, "its columns say that they are longer than the file: some share their bytes");
    }
    check_expansion(uncompressed, file_bytes);
}

/// The same by what the pages say of themselves, in which the footer may lie.
void check_pages(pq_file &file, const std::vector<pq::Range> &chunks) {
    for (const pq::Range &chunk : chunks) {
        if (chunk.offset < 0 || chunk.length < 0 || chunk.length > file.size_bytes - chunk.offset) continue;
        auto bytes = pq::check(file.store->ReadAt(chunk.offset, chunk.length));
        if (__builtin_add_overflow(
                file.page_bytes, pq::bytes_of_pages(bytes->data(), bytes->size()), &file.page_bytes)) {
            file.page_bytes = INT64_MAX;
        }
        check_expansion(file.page_bytes, file.size_bytes);
    }
}

/// The same while it is read, for footers that lie: what the file has made so far, decoded batches included.
void check_made(const pq_file &file) {
    constexpr int64_t free_made = int64_t{1} << 30;
    const int64_t made = file.pool->total_bytes_allocated();
    if (made > free_made && made / (8 * expansion) > file.size_bytes) {
        throw pq::Failure(
            PQ_MEMORY, "its " + std::to_string(file.size_bytes) + " bytes became " + mebibytes(made) + " already");
    }
}

std::vector<int> leaf_indices(const pq_file &file, const int32_t *columns, int32_t count) {
    std::vector<int> indices;
    for (int32_t i = 0; i < count; i++) indices.push_back(file.leaves.at(columns[i]));
    return indices;
}

/// Where a column chunk's pages lie; nonsense when the metadata says nonsense.
pq::Range chunk_range(const parquet::ColumnChunkMetaData &chunk) {
    int64_t start = chunk.data_page_offset();
    if (chunk.has_dictionary_page() && chunk.dictionary_page_offset() > 0) {
        start = std::min(start, chunk.dictionary_page_offset());
    }
    return {start, chunk.total_compressed_size()};
}

/// Limits what one file holds. The cap asks the pool below it how much is in use: of the default pool that would be all
/// files together.
std::shared_ptr<arrow::MemoryPool> limited_pool(int64_t bytes) {
    struct Limited {
        explicit Limited(int64_t bytes) : own(arrow::default_memory_pool()), capped(&own, bytes) {}
        arrow::ProxyMemoryPool own;
        arrow::CappedMemoryPool capped;
    };
    auto pools = std::make_shared<Limited>(bytes);
    return {pools, &pools->capped};
}

std::vector<pq::Range> group_ranges(const pq_file &file, int32_t group, const std::vector<int> &leaves) {
    auto metadata = file.metadata->RowGroup(group);
    std::vector<pq::Range> ranges;
    // Its columns have no page of data, and say nothing true of where they would be.
    if (metadata->num_rows() == 0) return ranges;
    for (int leaf : leaves) ranges.push_back(chunk_range(*metadata->ColumnChunk(leaf)));
    return ranges;
}

}  // namespace

pq_file *pq_open(const pq_source *source, const pq_read_options *options, pq_error *error) {
    std::shared_ptr<pq::StoreFile> store;
    pq_file *opened = pq::guard(error, static_cast<pq_file *>(nullptr), [&]() -> pq_file * {
        auto file = std::make_unique<pq_file>();
        file->pool = limited_pool(options->memory_bytes);
        file->store = store = std::make_shared<pq::StoreFile>(*source, *options, file->pool);
        int64_t size = source->size_bytes;
        int64_t ahead = size <= options->whole_bytes ? size : std::min(size, options->tail_bytes);
        store->pin({size - ahead, ahead});

        parquet::ReaderProperties reading(file->pool.get());
        reading.set_page_checksum_verification(true);
        reading.set_thrift_string_size_limit(thrift_string_bytes);
        reading.set_thrift_container_size_limit(thrift_container_items);
        auto parquet = parquet::ParquetFileReader::Open(store, reading);
        file->metadata = parquet->metadata();
        check_counts(*file->metadata);
        check_sizes(*file->metadata, size, options->memory_bytes);
        file->size_bytes = size;

        parquet::ArrowReaderProperties decoding(/*use_threads=*/false);
        decoding.set_pre_buffer(false);
        decoding.set_coerce_int96_timestamp_unit(arrow::TimeUnit::MILLI);
        const char *name = options->coded;
        for (int32_t i = 0; i < options->coded_count; i++, name += std::strlen(name) + 1) {
            // Of a column that holds no texts Arrow takes no notice of it.
            int leaf = file->metadata->schema()->ColumnIndex(name);
            if (leaf >= 0) decoding.set_read_dictionary(leaf, true);
        }
        file->reader
            = pq::check(parquet::arrow::FileReader::Make(file->pool.get(), std::move(parquet), decoding));
        find_leaves(*file);
        return file.release();
    });
    if (error->kind != PQ_NONE && store && store->source_failed()) {
        pq::fill(error, PQ_SOURCE, pq::source_failed_message);
    }
    return opened;
}

void pq_close(pq_file *file) { delete file; }

int64_t pq_row_count(const pq_file *file) { return file->metadata->num_rows(); }

int32_t pq_group_count(const pq_file *file) { return file->metadata->num_row_groups(); }

int32_t pq_column_count(const pq_file *file) { return static_cast<int32_t>(file->names.size()); }

const char *pq_column_name(const pq_file *file, int32_t column) { return file->names[column].c_str(); }

int32_t pq_find_column(const pq_file *file, const char *name) {
    int32_t found = PQ_NO_COLUMN;
    for (size_t column = 0; column < file->names.size(); column++) {
        if (file->names[column] != name) continue;
        if (found != PQ_NO_COLUMN) return PQ_COLUMN_TWICE;
        found = static_cast<int32_t>(column);
    }
    return found >= 0 && file->leaves[found] < 0 ? PQ_COLUMN_NESTED : found;
}

/// The type of a column as Arrow has it, a dictionary's values'; null for a nested one.
static std::shared_ptr<arrow::DataType> type_of(const pq_file *file, int32_t column) {
    if (file->leaves[column] < 0) return nullptr;
    std::shared_ptr<arrow::Schema> schema;
    pq::check(file->reader->GetSchema(&schema));
    std::shared_ptr<arrow::DataType> type = schema->field(column)->type();
    if (type->id() != arrow::Type::DICTIONARY) return type;
    return static_cast<const arrow::DictionaryType &>(*type).value_type();
}

bool pq_column_is_numeric(const pq_file *file, int32_t column) {
    pq_error error;
    return pq::guard(&error, false, [&] {
        auto type = type_of(file, column);
        return type && (arrow::is_integer(type->id()) || arrow::is_floating(type->id())
            || arrow::is_decimal(type->id()) || type->id() == arrow::Type::BOOL);
    });
}

bool pq_column_is_text(const pq_file *file, int32_t column) {
    pq_error error;
    return pq::guard(&error, false, [&] {
        auto type = type_of(file, column);
        return type && (arrow::is_base_binary_like(type->id()) || arrow::is_binary_view_like(type->id()));
    });
}

int32_t pq_group_requests(
    const pq_file *file, int32_t group, const int32_t *columns, int32_t count, int64_t *ranges, int32_t capacity) {
    pq_error error;
    return pq::guard(&error, int32_t{0}, [&]() -> int32_t {
        int32_t written = 0;
        int64_t longest = file->store->options().request_bytes;
        for (pq::Range range : file->store->plan(group_ranges(*file, group, leaf_indices(*file, columns, count)))) {
            for (; range.length > 0 && written < capacity; written++) {
                int64_t length = std::min(range.length, longest);
                ranges[2 * written] = range.offset;
                ranges[2 * written + 1] = length;
                range = {range.offset + length, range.length - length};
            }
        }
        return written;
    });
}

pq_rows *pq_read_group(
    pq_file *file, int32_t group, const int32_t *columns, int32_t count, int64_t batch_rows, pq_error *error) {
    return pq::guard_reading(*file->store, error, static_cast<pq_rows *>(nullptr), [&]() -> pq_rows * {
        std::vector<int> leaves = leaf_indices(*file, columns, count);
        const std::vector<pq::Range> chunks = group_ranges(*file, group, leaves);
        file->store->fetch(chunks);
        check_pages(*file, chunks);

        file->reader->set_batch_size(batch_rows);
        auto batches = pq::check(file->reader->GetRecordBatchReader({group}, leaves));
        int64_t first = 0;
        for (int32_t before = 0; before < group; before++) first += file->metadata->RowGroup(before)->num_rows();
        return new pq_rows{file, std::move(batches), first, first + file->metadata->RowGroup(group)->num_rows()};
    });
}

pq_batch *pq_next(pq_rows *rows, pq_error *error) {
    return pq::guard_reading(*rows->file->store, error, static_cast<pq_batch *>(nullptr), [&]() -> pq_batch * {
        std::shared_ptr<arrow::RecordBatch> next;
        // Arrow may give an empty batch between two others.
        do {
            check_made(*rows->file);
            pq::check(rows->batches->ReadNext(&next));
        } while (next && next->num_rows() == 0);
        if (!next) {
            if (rows->next_row == rows->end_row) return nullptr;
            throw pq::Failure(PQ_DAMAGED, "a row group has fewer rows than it says");
        }
        pq::check(next->Validate());
        int64_t first = rows->next_row;
        rows->next_row += next->num_rows();
        if (rows->next_row > rows->end_row) {
            throw pq::Failure(PQ_DAMAGED, "a row group has more rows than it says");
        }
        auto batch = std::make_unique<pq_batch>();
        batch->pool = rows->file->pool;
        batch->rows = std::move(next);
        batch->first_row = first;
        return batch.release();
    });
}

void pq_rows_close(pq_rows *rows) { delete rows; }
