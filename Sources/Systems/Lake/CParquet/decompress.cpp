// Compressed streams through Arrow's codecs, piece by piece.
#include <memory>

#include <arrow/util/compression.h>

#include "failure.h"
#include "include/parquet_shim.h"

struct pq_inflater {
    std::unique_ptr<arrow::util::Codec> codec;
    std::shared_ptr<arrow::util::Decompressor> stream;
};

pq_inflater *pq_inflater_make(pq_compression compression, pq_error *error) {
    return pq::guard(error, static_cast<pq_inflater *>(nullptr), [&] {
        auto inflater = std::make_unique<pq_inflater>();
        auto type = compression == PQ_GZIP ? arrow::Compression::GZIP : arrow::Compression::ZSTD;
        inflater->codec = pq::check(arrow::util::Codec::Create(type));
        inflater->stream = pq::check(inflater->codec->MakeDecompressor());
        return inflater.release();
    });
}

bool pq_inflate(
    pq_inflater *inflater, const uint8_t *input, int64_t input_bytes, uint8_t *output, int64_t output_bytes,
    int64_t *read, int64_t *written, pq_error *error) {
    return pq::guard(error, false, [&] {
        auto result = pq::check(inflater->stream->Decompress(input_bytes, input, output_bytes, output));
        *read = result.bytes_read;
        *written = result.bytes_written;
        return true;
    });
}

bool pq_inflater_is_finished(const pq_inflater *inflater) { return inflater->stream->IsFinished(); }

bool pq_inflater_reset(pq_inflater *inflater, pq_error *error) {
    return pq::guard(error, false, [&] {
        pq::check(inflater->stream->Reset());
        return true;
    });
}

void pq_inflater_free(pq_inflater *inflater) { delete inflater; }
