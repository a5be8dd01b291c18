#ifndef CSIMDJSON_H
#define CSIMDJSON_H

// Transaction messages in, columns out, in one call a batch. Everything here is plain C to its callers; no
// function throws. When memory runs out the process ends, as it does for Swift's own allocations.

#include <stddef.h>
#include <stdint.h>

#include "exact.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /// Text fields come first and are numbered as in Swift's `TextField`.
    CSIMD_TRANSACTION_ID = 0,
    CSIMD_USER_ID = 1,
    CSIMD_CURRENCY = 2,
    CSIMD_MERCHANT_ID = 3,
    CSIMD_CATEGORY = 4,
    CSIMD_COUNTRY = 5,
    CSIMD_CHANNEL = 6,
    CSIMD_DEVICE_ID = 7,
    CSIMD_TEXT_FIELDS = 8,
    CSIMD_AMOUNT = 8,
    CSIMD_TIMESTAMP = 9,
    CSIMD_LATITUDE = 10,
    CSIMD_LONGITUDE = 11,
    CSIMD_FIELDS = 12,
    /// The rejection concerns the message, not a field of it.
    CSIMD_NO_FIELD = -1
};

/// Why a message was refused; Swift's `RejectionReason` gives them their names.
enum {
    CSIMD_NOT_JSON = 0,
    CSIMD_NOT_AN_OBJECT = 1,
    CSIMD_MISSING_FIELD = 2,
    CSIMD_WRONG_TYPE = 3,
    CSIMD_NOT_FINITE = 4,
    CSIMD_BAD_TIMESTAMP = 5,
    CSIMD_USER_ID_LENGTH = 6,
    CSIMD_TOO_LARGE = 7,
    CSIMD_INVALID_UTF8 = 8,
    CSIMD_TOO_DEEP = 9,
    CSIMD_TEXT_LENGTH = 10,
    CSIMD_EMBEDDED_NUL = 11,
    CSIMD_OUT_OF_RANGE = 12,
    CSIMD_REASONS = 13
};

enum {
    CSIMD_MAXIMUM_MESSAGE_BYTES = 65536,
    CSIMD_MAXIMUM_ID_BYTES = 256,
    CSIMD_MAXIMUM_TEXT_BYTES = 1024,
    CSIMD_MAXIMUM_DEPTH = 64
};

/// A text's length when it is missing.
#define CSIMD_MISSING UINT32_MAX

typedef struct {
    const void *bytes;
    size_t length;
} csimd_message;

typedef struct {
    uint32_t offset;
    uint32_t length;
} csimd_text;

typedef struct {
    int32_t message;
    int8_t reason;
    int8_t field;
    /// Bytes of `value`: the beginning of what the field holds, 0 where it holds nothing.
    uint8_t value_length;
    char value[41];
} csimd_rejection;

/// What a batch gave. The memory is the parser's and holds until its next call.
typedef struct {
    size_t rows;
    const int64_t *timestamp_milliseconds;
    const double *amount;
    const double *latitude;   // NaN: missing
    const double *longitude;
    const int32_t *message;   // which message of the batch
    const csimd_text *texts;  // rows x CSIMD_TEXT_FIELDS
    const uint64_t *hashes;   // likewise; 0: missing
    const uint8_t *arena;
    size_t arena_length;
    size_t rejection_count;
    const csimd_rejection *rejections;
} csimd_columns;

typedef struct csimd_parser csimd_parser;

/// - zone: of times that do not say theirs, copied; NULL: such times are refused.
csimd_parser *csimd_parser_create(const exact_zone *zone);
void csimd_parser_destroy(csimd_parser *parser);

/// Parses `count` messages. Offsets of texts start at `arena_base`. One thread at a time for one parser.
csimd_columns csimd_parse(csimd_parser *parser, const csimd_message *messages, size_t count,
                          uint32_t arena_base);

/// XXH64 with seed 0, and 1 where that is 0. The same on every machine and for ever: it is stored.
uint64_t csimd_text_hash(const void *bytes, size_t length);

#ifdef __cplusplus
}
#endif

#endif
