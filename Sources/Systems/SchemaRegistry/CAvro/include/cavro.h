#pragma once
#include <stddef.h>
#include <stdint.h>

// Avro records, read with libavro. Debian's libavro is built without its locks and trusts lengths: every call of it is made
// under one lock, what it allocates for a record is bounded by the record, and depth and steps are counted. A record is data
// from outside and may be anything.

#define CAVRO_MAXIMUM_DEPTH 64

typedef struct cavro_schema cavro_schema;
typedef struct cavro_decoder cavro_decoder;

enum {
    CAVRO_NULL,
    CAVRO_BOOLEAN,
    CAVRO_INTEGER,
    CAVRO_REAL,
    /// UTF-8 as it came, unchecked; of an enumeration, its symbol.
    CAVRO_TEXT,
    /// Bytes, or of fixed length.
    CAVRO_BYTES,
    /// A record, a list or a map; what is in it is passed over.
    CAVRO_NESTED,
};

enum {
    CAVRO_READ,
    /// It ends too early, or holds what the schema does not have.
    CAVRO_DAMAGED,
    /// Bytes are left behind the record.
    CAVRO_TOO_LONG,
    CAVRO_TOO_DEEP,
    /// More elements than its bytes can stand for.
    CAVRO_TOO_MANY,
};

typedef struct {
    int kind;
    /// Which branch of a union; 0 where the field is none.
    int branch;
    /// Of an integer or a boolean.
    int64_t integer;
    double real;
    /// Of a text or bytes, until the decoder's next record.
    const char *bytes;
    size_t length;
} cavro_value;

/// - Returns: NULL with a reason in `problem`: no schema that libavro can read, or no record.
cavro_schema *cavro_schema_create(const char *json, size_t length, char *problem, size_t problem_size);
void cavro_schema_destroy(cavro_schema *schema);
size_t cavro_field_count(const cavro_schema *schema);
/// Lives as long as the schema.
const char *cavro_field_name(const cavro_schema *schema, size_t field);

/// Used by one thread at a time. NULL: there is no memory.
cavro_decoder *cavro_decoder_create(void);
void cavro_decoder_destroy(cavro_decoder *decoder);
/// Reads one record. `values` has room for each of the schema's fields.
int cavro_decode(cavro_decoder *decoder, const cavro_schema *schema, const void *bytes, size_t length,
                 cavro_value *values);
