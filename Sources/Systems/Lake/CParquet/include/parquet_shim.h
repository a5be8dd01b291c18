// Parquet files through Arrow C++, as C that Swift can import.
//
// No call lets a C++ exception out: a failure fills the caller's `pq_error` and gives NULL, -1 or `false`.
// A `pq_file`, its `pq_rows` and a `pq_writer` belong to one thread at a time. A `pq_batch` never changes after
// `pq_batch_keep`: any thread may read it, and it outlives its file. Nothing here starts a thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exact.h"

#ifdef __cplusplus
extern "C" {
#endif

/// What is wrong, so that Swift can throw the right error.
typedef enum {
    PQ_NONE = 0,
    /// The source's `read` failed; it keeps the reason.
    PQ_SOURCE,
    /// The bytes are no sound Parquet file.
    PQ_DAMAGED,
    /// A column's type does not fit what is asked of it.
    PQ_TYPE,
    /// A value does not fit what is asked of it; `row` names it.
    PQ_VALUE,
    /// More memory than the file may use.
    PQ_MEMORY
} pq_error_kind;

typedef struct {
    int32_t kind;
    /// Row of the file, from 0, for PQ_VALUE.
    int64_t row;
    char message[512];
} pq_error;

/// Bytes from elsewhere. `read` fills `destination` with the bytes [offset, offset + length), which lie within
/// `size_bytes`, and returns whether it could.
typedef struct {
    void *context;
    bool (*read)(void *context, int64_t offset, int64_t length, uint8_t *destination);
    int64_t size_bytes;
} pq_source;

typedef struct {
    /// A file of at most so many bytes is fetched whole, in one request.
    int64_t whole_bytes;
    /// Bytes that are fetched from the end at first: the footer is most likely among them.
    int64_t tail_bytes;
    /// Wanted ranges with a gap of at most so many bytes become one request.
    int64_t gap_bytes;
    /// No request is longer.
    int64_t request_bytes;
    /// What one file may hold in memory, decoded batches included.
    int64_t memory_bytes;
    /// Names of columns of texts that come again and again, one behind the other, each ended by a zero: they are read as
    /// numbers of a dictionary's texts, for `pq_batch_codes`. Used by `pq_open` alone; NULL: none.
    const char *coded;
    int32_t coded_count;
} pq_read_options;

typedef struct pq_file pq_file;
typedef struct pq_rows pq_rows;
typedef struct pq_batch pq_batch;
typedef struct pq_texts pq_texts;

// MARK: Files

pq_file *pq_open(const pq_source *source, const pq_read_options *options, pq_error *error);
void pq_close(pq_file *file);

int64_t pq_row_count(const pq_file *file);
int32_t pq_group_count(const pq_file *file);

enum { PQ_NO_COLUMN = -1, PQ_COLUMN_TWICE = -2, PQ_COLUMN_NESTED = -3 };

/// Columns at the top of the schema; the name is valid while the file is open.
int32_t pq_column_count(const pq_file *file);
const char *pq_column_name(const pq_file *file, int32_t column);
/// The column's number, or one of the negative values above.
int32_t pq_find_column(const pq_file *file, const char *name);
/// Whether the column holds numbers or booleans, not nested.
bool pq_column_is_numeric(const pq_file *file, int32_t column);
/// Whether the column holds texts, not nested.
bool pq_column_is_text(const pq_file *file, int32_t column);

// MARK: Compressed streams

typedef enum { PQ_GZIP = 0, PQ_ZSTD = 1 } pq_compression;
typedef struct pq_inflater pq_inflater;

pq_inflater *pq_inflater_make(pq_compression compression, pq_error *error);
/// Takes from `input` and gives to `output` what it can: `read` and `written` say how much. Belongs to one thread at a time.
bool pq_inflate(
    pq_inflater *inflater, const uint8_t *input, int64_t input_bytes, uint8_t *output, int64_t output_bytes,
    int64_t *read, int64_t *written, pq_error *error);
/// Whether a gzip member or a zstd frame has just ended; `pq_inflater_reset` begins the next one.
bool pq_inflater_is_finished(const pq_inflater *inflater);
bool pq_inflater_reset(pq_inflater *inflater, pq_error *error);
void pq_inflater_free(pq_inflater *inflater);

// MARK: Texts that are looked for

/// Copies `count` texts, at least one: each begins where the one before ends, the first at 0. Any number of threads may
/// look into them.
pq_texts *pq_texts_make(const char *bytes, const int64_t *ends, int64_t count, pq_error *error);
void pq_texts_close(pq_texts *texts);

// MARK: Which row groups may hold one of them

/// False when the statistics rule out that the column holds one of the texts, an integer column its decimal form.
bool pq_statistics_allow(const pq_file *file, int32_t group, int32_t column, const pq_texts *texts);
bool pq_has_filter(const pq_file *file, int32_t group, int32_t column);
/// Fetches the Bloom filters of these groups in few requests.
bool pq_fetch_filters(pq_file *file, const int32_t *groups, int32_t count, int32_t column, pq_error *error);
/// 1: the Bloom filter allows one of the texts or there is no such filter; 0: ruled out; -1: error.
int32_t pq_filter_allows(pq_file *file, int32_t group, int32_t column, const pq_texts *texts, pq_error *error);

// MARK: Rows

/// The requests that `pq_read_group` is going to make, so that they can be made before: offset and length of each, at
/// most `capacity`. Returns how many.
int32_t pq_group_requests(
    const pq_file *file, int32_t group, const int32_t *columns, int32_t count, int64_t *ranges, int32_t capacity);
/// Fetches these columns of one row group and starts to decode them. The file must outlive the rows, and has one
/// at a time.
pq_rows *pq_read_group(
    pq_file *file, int32_t group, const int32_t *columns, int32_t count, int64_t batch_rows, pq_error *error);
/// The next batch; NULL at the end, with no error, or on an error.
pq_batch *pq_next(pq_rows *rows, pq_error *error);
void pq_rows_close(pq_rows *rows);

void pq_batch_close(pq_batch *batch);
int64_t pq_batch_count(const pq_batch *batch);
/// Where a row of the batch stands in the file, from 0.
int64_t pq_batch_file_row(const pq_batch *batch, int64_t row);
/// The place of a column in the batch, or PQ_NO_COLUMN.
int32_t pq_batch_column(const pq_batch *batch, const char *name);
/// Keeps only the rows whose column has one of these texts. At most once a batch, before any other look at it.
bool pq_batch_keep(pq_batch *batch, int32_t column, const pq_texts *texts, pq_error *error);

// MARK: Values. Each call fills arrays of `pq_batch_count` values; `valid` gets 0 or 1.

/// `states`, here and below, gets what `exact.h` calls each row's value: EXACT_VALUE, EXACT_MISSING or why it is none,
/// whose value is then meaningless. Where it may be NULL and is, a row that is no value of the kind is PQ_VALUE.

/// NaN for null and missing. Takes numbers of any kind, decimals, booleans, and texts of numbers. `states` may be NULL.
bool pq_batch_reals(const pq_batch *batch, int32_t column, double *values, uint8_t *states, pq_error *error);
/// 1, 0, or -1 for null and missing. Takes booleans, numbers, of which 0 is false, and texts as `exact_boolean` does.
bool pq_batch_labels(const pq_batch *batch, int32_t column, int8_t *values, uint8_t *states, pq_error *error);
/// 0 for null. Takes integers, booleans, and reals and decimals that are whole numbers.
bool pq_batch_integers(
    const pq_batch *batch, int32_t column, int64_t *values, uint8_t *valid, bool *has_nulls, pq_error *error);
bool pq_batch_is_text(const pq_batch *batch, int32_t column);
/// Milliseconds since 1970 UTC, rounded down. Takes timestamps and dates of any unit; numbers as `exact_epoch` does;
/// texts as `exact_time` does. `zone` is that of times that do not say theirs; NULL: typed ones are UTC, texts are
/// refused.
bool pq_batch_timestamps(
    const pq_batch *batch, int32_t column, const exact_zone *zone, int64_t *values, uint8_t *states,
    pq_error *error);
/// What a row of a column holds, for messages, as much of it as fits; NUL-terminated.
void pq_batch_describe(const pq_batch *batch, int32_t column, int64_t row, char *text, size_t capacity);
/// Bytes that the texts take together. Takes texts, binaries, dictionaries of them; as their digits numbers that are
/// whole; binaries of 16 bytes as UUIDs.
bool pq_batch_text_size(const pq_batch *batch, int32_t column, int64_t *size_bytes, pq_error *error);
/// `offsets` has one more entry than there are rows; a null is empty.
bool pq_batch_texts(
    const pq_batch *batch, int32_t column, int64_t *offsets, uint8_t *bytes, uint8_t *valid, bool *has_nulls,
    pq_error *error);

/// A column whose texts were read by number: `codes` gets each row's number, -1 for null, `text_count` how many different
/// texts there are, and `text_bytes` what these take together. `text_count` gets -1 for a column that was not read so, or
/// that has more texts than it would be worth: then nothing else is filled.
bool pq_batch_codes(
    const pq_batch *batch, int32_t column, int32_t *codes, int64_t *text_count, int64_t *text_bytes,
    pq_error *error);
/// The different texts: `offsets` has one more entry than there are.
bool pq_batch_code_texts(
    const pq_batch *batch, int32_t column, int64_t *offsets, uint8_t *bytes, pq_error *error);

// MARK: Writing

typedef enum { PQ_TEXT, PQ_REAL, PQ_INTEGER, PQ_TIMESTAMP, PQ_BOOLEAN } pq_type;

typedef struct {
    const char *name;
    pq_type type;
    bool nullable;
    /// A Bloom filter and a dictionary, for a column that is searched by equality.
    bool bloom_filter;
} pq_column_spec;

/// Borrowed for the call. `values`: doubles, int64 or bytes 0/1 by type, unused for text.
typedef struct {
    const void *values;
    /// 0 or 1 a row; NULL: no nulls.
    const uint8_t *valid;
    const int32_t *offsets;
    const uint8_t *bytes;
} pq_column_values;

typedef struct pq_writer pq_writer;

/// - row_group_rows: the most that a call of `pq_write_group` will bring; sizes the Bloom filters.
pq_writer *pq_writer_open(
    const pq_column_spec *columns, int32_t count, int64_t row_group_rows, pq_error *error);
/// Writes one row group.
bool pq_write_group(pq_writer *writer, const pq_column_values *columns, int64_t rows, pq_error *error);
/// Ends the file. The bytes belong to the writer and live until it is closed.
bool pq_writer_finish(pq_writer *writer, const uint8_t **bytes, int64_t *size_bytes, pq_error *error);
void pq_writer_close(pq_writer *writer);

#ifdef __cplusplus
}
#endif
