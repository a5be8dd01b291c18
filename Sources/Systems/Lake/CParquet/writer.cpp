// Writes Parquet files: the same rows give the same bytes.
#include <string>
#include <vector>

#include <arrow/array.h>
#include <arrow/io/memory.h>
#include <arrow/type.h>
#include <arrow/util/bit_util.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

#include "failure.h"
#include "include/parquet_shim.h"

struct pq_writer {
    std::shared_ptr<arrow::Schema> schema;
    std::shared_ptr<arrow::io::BufferOutputStream> sink;
    std::unique_ptr<parquet::arrow::FileWriter> writer;
    std::shared_ptr<arrow::Buffer> bytes;
};

namespace {

std::shared_ptr<arrow::DataType> type_of(pq_type type) {
    switch (type) {
    case PQ_TEXT: return arrow::utf8();
    case PQ_REAL: return arrow::float64();
    case PQ_INTEGER: return arrow::int64();
    case PQ_TIMESTAMP: return arrow::timestamp(arrow::TimeUnit::MILLI, "UTC");
    case PQ_BOOLEAN: return arrow::boolean();
    }
    throw pq::Failure(PQ_TYPE, "unknown column type");
}

/// One bit a row from one byte a row.
std::shared_ptr<arrow::Buffer> bits(const uint8_t *flags, int64_t rows) {
    std::shared_ptr<arrow::Buffer> buffer = pq::check(arrow::AllocateBuffer((rows + 7) / 8));
    uint8_t *to = buffer->mutable_data();
    std::memset(to, 0, buffer->size());
    for (int64_t row = 0; row < rows; row++) {
        if (flags[row]) to[row / 8] |= static_cast<uint8_t>(1u << (row % 8));
    }
    return buffer;
}

std::shared_ptr<arrow::Array> array_of(
    const std::shared_ptr<arrow::DataType> &type, const pq_column_values &column, int64_t rows) {
    auto borrow = [](const void *bytes, int64_t size) {
        return std::make_shared<arrow::Buffer>(static_cast<const uint8_t *>(bytes), size);
    };
    std::vector<std::shared_ptr<arrow::Buffer>> buffers{column.valid ? bits(column.valid, rows) : nullptr};
    switch (type->id()) {
    case arrow::Type::STRING:
        buffers.push_back(borrow(column.offsets, (rows + 1) * sizeof(int32_t)));
        buffers.push_back(borrow(column.bytes, column.offsets[rows]));
        break;
    case arrow::Type::BOOL: buffers.push_back(bits(static_cast<const uint8_t *>(column.values), rows)); break;
    default: buffers.push_back(borrow(column.values, rows * 8)); break;
    }
    return arrow::MakeArray(arrow::ArrayData::Make(type, rows, std::move(buffers)));
}

std::shared_ptr<parquet::WriterProperties> properties(
    const pq_column_spec *columns, int32_t count, int64_t row_group_rows) {
    parquet::WriterProperties::Builder builder;
    builder.compression(parquet::Compression::ZSTD);
    builder.compression_level(3);
    builder.max_row_group_length(row_group_rows);
    builder.enable_page_checksum();
    for (int32_t i = 0; i < count; i++) {
        std::string path = parquet::schema::ColumnPath(std::vector<std::string>{columns[i].name}).ToDotString();
        if (columns[i].bloom_filter) {
            // Sized for a value a row, then folded to what the values need.
            parquet::BloomFilterOptions options;
            options.fpp = 0.01;
            builder.enable_bloom_filter(path, options);
        }
        if (columns[i].type == PQ_TIMESTAMP) {
            // Times are close to each other and seldom the same.
            builder.disable_dictionary(path);
            builder.encoding(path, parquet::Encoding::DELTA_BINARY_PACKED);
        }
    }
    return builder.build();
}

}  // namespace

pq_writer *pq_writer_open(
    const pq_column_spec *columns, int32_t count, int64_t row_group_rows, pq_error *error) {
    return pq::guard(error, static_cast<pq_writer *>(nullptr), [&] {
        auto writer = std::make_unique<pq_writer>();
        std::vector<std::shared_ptr<arrow::Field>> fields;
        for (int32_t i = 0; i < count; i++) {
            fields.push_back(arrow::field(columns[i].name, type_of(columns[i].type), columns[i].nullable));
        }
        writer->schema = arrow::schema(fields);
        writer->sink = pq::check(arrow::io::BufferOutputStream::Create());
        writer->writer = pq::check(parquet::arrow::FileWriter::Open(
            *writer->schema, arrow::default_memory_pool(), writer->sink,
            properties(columns, count, row_group_rows)));
        return writer.release();
    });
}

bool pq_write_group(pq_writer *writer, const pq_column_values *columns, int64_t rows, pq_error *error) {
    return pq::guard(error, false, [&] {
        pq::check(writer->writer->NewRowGroup());
        for (int i = 0; i < writer->schema->num_fields(); i++) {
            auto array = array_of(writer->schema->field(i)->type(), columns[i], rows);
            pq::check(writer->writer->WriteColumnChunk(*array));
        }
        return true;
    });
}

bool pq_writer_finish(pq_writer *writer, const uint8_t **bytes, int64_t *size_bytes, pq_error *error) {
    return pq::guard(error, false, [&] {
        pq::check(writer->writer->Close());
        writer->bytes = pq::check(writer->sink->Finish());
        *bytes = writer->bytes->data();
        *size_bytes = writer->bytes->size();
        return true;
    });
}

void pq_writer_close(pq_writer *writer) { delete writer; }
