#include "cavro.h"

#include <avro.h>
#include <avro/consumer.h>
#include <avro/io.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cavro_schema {
    avro_schema_t record;
};

// MARK: Memory

/// In front of each piece that libavro asks for.
typedef struct block {
    struct block *next, *previous;
    struct cavro_decoder *owner; // NULL: of a schema
    size_t size;
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/// Whose record is being read, under `lock`.
static struct cavro_decoder *reading;

/// What reads one value: libavro's part first, so that one is the other.
typedef struct {
    avro_consumer_t consumer;
    struct cavro_decoder *decoder;
    int depth;
    int field; // of the record, -1: passed over
} node;

struct cavro_decoder {
    avro_reader_t reader;
    block *blocks;
    size_t allocated, allowed;
    size_t steps, allowed_steps;
    int fault;
    cavro_value *values;
    node nodes[CAVRO_MAXIMUM_DEPTH + 1];
};

static void unlink_block(block *piece) {
    if (piece->owner == NULL) return;
    if (piece->previous) piece->previous->next = piece->next;
    else piece->owner->blocks = piece->next;
    if (piece->next) piece->next->previous = piece->previous;
    piece->owner->allocated -= piece->size;
}

/// libavro's only allocator. A length that a record claims is asked for before its bytes are looked for: what is more than the
/// record can hold is refused, and what libavro forgets when a record ends too early is freed with the next one.
static void *allocate(void *context, void *old, size_t old_size, size_t size) {
    (void)context;
    (void)old_size;
    block *piece = old ? (block *)old - 1 : NULL;
    if (size == 0) {
        if (piece) unlink_block(piece);
        free(piece);
        return NULL;
    }
    struct cavro_decoder *owner = piece ? piece->owner : reading;
    const size_t held = piece ? piece->size : 0;
    if (owner && (size > owner->allowed || owner->allocated - held > owner->allowed - size)) return NULL;
    if (size > SIZE_MAX - sizeof(block)) return NULL;
    if (piece) unlink_block(piece);
    block *grown = realloc(piece, sizeof(block) + size);
    if (!grown) abort(); // no fault of the record, and libavro does not check everywhere
    *grown = (block){.next = owner ? owner->blocks : NULL, .owner = owner, .size = size};
    if (owner) {
        if (owner->blocks) owner->blocks->previous = grown;
        owner->blocks = grown;
        owner->allocated += size;
    }
    return grown + 1;
}

static void use_allocator(void) { avro_set_allocator(allocate, NULL); }

static void take_lock(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_allocator);
    pthread_mutex_lock(&lock);
}

// MARK: Schemas

static avro_schema_t followed(avro_schema_t schema) {
    while (schema && is_avro_link(schema)) schema = avro_schema_link_target(schema);
    return schema;
}

cavro_schema *cavro_schema_create(const char *json, size_t length, char *problem, size_t problem_size) {
    cavro_schema *schema = NULL;
    avro_schema_t parsed = NULL;
    take_lock();
    if (avro_schema_from_json_length(json, length, &parsed) != 0) {
        snprintf(problem, problem_size, "%s", avro_strerror());
    } else if (!is_avro_record(parsed)) {
        snprintf(problem, problem_size, "it is not of a record");
        avro_schema_decref(parsed);
    } else if ((schema = malloc(sizeof *schema))) {
        schema->record = parsed;
    } else {
        abort(); // no fault of the schema
    }
    pthread_mutex_unlock(&lock);
    return schema;
}

void cavro_schema_destroy(cavro_schema *schema) {
    take_lock();
    avro_schema_decref(schema->record);
    pthread_mutex_unlock(&lock);
    free(schema);
}

size_t cavro_field_count(const cavro_schema *schema) { return avro_schema_record_size(schema->record); }

const char *cavro_field_name(const cavro_schema *schema, size_t field) {
    return avro_schema_record_field_name(schema->record, (int)field);
}

// MARK: Values

static int fail(struct cavro_decoder *decoder, int fault) {
    if (decoder->fault == CAVRO_READ) decoder->fault = fault;
    return EINVAL;
}

static int step(struct cavro_decoder *decoder) {
    return ++decoder->steps > decoder->allowed_steps ? fail(decoder, CAVRO_TOO_MANY) : 0;
}

/// What reads a value inside another one.
static int descend(node *parent, avro_schema_t schema, int field, avro_consumer_t **consumer, void **context) {
    struct cavro_decoder *decoder = parent->decoder;
    if (step(decoder)) return EINVAL;
    if (parent->depth == CAVRO_MAXIMUM_DEPTH) return fail(decoder, CAVRO_TOO_DEEP);
    if (!(schema = followed(schema))) return fail(decoder, CAVRO_DAMAGED);
    node *child = &decoder->nodes[parent->depth + 1];
    child->consumer.schema = schema;
    child->field = field;
    *consumer = &child->consumer;
    *context = NULL;
    return 0;
}

/// The place of a value; NULL: it is passed over.
static cavro_value *place(avro_consumer_t *consumer, int kind) {
    node *self = (node *)consumer;
    if (self->field < 0) return NULL;
    cavro_value *value = &self->decoder->values[self->field];
    value->kind = kind;
    return value;
}

static int on_null(avro_consumer_t *consumer, void *context) {
    (void)context;
    place(consumer, CAVRO_NULL);
    return 0;
}

static int on_boolean(avro_consumer_t *consumer, int found, void *context) {
    (void)context;
    cavro_value *value = place(consumer, CAVRO_BOOLEAN);
    if (value) value->integer = found != 0;
    return 0;
}

static int on_int(avro_consumer_t *consumer, int32_t found, void *context) {
    (void)context;
    cavro_value *value = place(consumer, CAVRO_INTEGER);
    if (value) value->integer = found;
    return 0;
}

static int on_long(avro_consumer_t *consumer, int64_t found, void *context) {
    (void)context;
    cavro_value *value = place(consumer, CAVRO_INTEGER);
    if (value) value->integer = found;
    return 0;
}

static int on_float(avro_consumer_t *consumer, float found, void *context) {
    (void)context;
    cavro_value *value = place(consumer, CAVRO_REAL);
    if (value) value->real = found;
    return 0;
}

static int on_double(avro_consumer_t *consumer, double found, void *context) {
    (void)context;
    cavro_value *value = place(consumer, CAVRO_REAL);
    if (value) value->real = found;
    return 0;
}

/// The consumer owns the bytes from here on.
static int keep(avro_consumer_t *consumer, int kind, const void *bytes, size_t length, size_t allocated) {
    cavro_value *value = place(consumer, kind);
    if (value) {
        value->bytes = bytes;
        value->length = length;
    } else {
        avro_free((void *)bytes, allocated);
    }
    return 0;
}

/// Its length counts the zero behind it.
static int on_string(avro_consumer_t *consumer, const void *bytes, size_t length, void *context) {
    (void)context;
    return keep(consumer, CAVRO_TEXT, bytes, length - 1, length);
}

static int on_bytes(avro_consumer_t *consumer, const void *bytes, size_t length, void *context) {
    (void)context;
    return keep(consumer, CAVRO_BYTES, bytes, length, length + 1);
}

static int on_fixed(avro_consumer_t *consumer, const void *bytes, size_t length, void *context) {
    (void)context;
    return keep(consumer, CAVRO_BYTES, bytes, length, length);
}

static int on_enum(avro_consumer_t *consumer, int index, void *context) {
    (void)context;
    // libavro's look-up of a symbol that is not there gives what lay on the stack.
    if (index < 0 || index >= avro_schema_enum_number_of_symbols(consumer->schema)) {
        return fail(((node *)consumer)->decoder, CAVRO_DAMAGED);
    }
    cavro_value *value = place(consumer, CAVRO_TEXT);
    if (value) {
        value->bytes = avro_schema_enum_get(consumer->schema, index);
        value->length = strlen(value->bytes);
    }
    return 0;
}

static int on_block(avro_consumer_t *consumer, int is_first, unsigned count, void *context) {
    (void)is_first;
    (void)count;
    (void)context;
    place(consumer, CAVRO_NESTED);
    return step(((node *)consumer)->decoder);
}

static int on_element(avro_consumer_t *consumer, unsigned index, avro_consumer_t **element, void **element_context,
                      void *context) {
    (void)index;
    (void)context;
    return descend((node *)consumer, avro_schema_array_items(consumer->schema), -1, element, element_context);
}

static int on_entry(avro_consumer_t *consumer, unsigned index, const char *key, avro_consumer_t **element,
                    void **element_context, void *context) {
    (void)index;
    (void)key;
    (void)context;
    return descend((node *)consumer, avro_schema_map_values(consumer->schema), -1, element, element_context);
}

static int on_record(avro_consumer_t *consumer, void *context) {
    (void)context;
    place(consumer, CAVRO_NESTED);
    return step(((node *)consumer)->decoder);
}

static int on_field(avro_consumer_t *consumer, unsigned index, avro_consumer_t **field, void **field_context,
                    void *context) {
    (void)context;
    node *self = (node *)consumer;
    return descend(self, avro_schema_record_field_get_by_index(consumer->schema, (int)index),
                   self->depth == 0 ? (int)index : -1, field, field_context);
}

static int on_branch(avro_consumer_t *consumer, unsigned branch, avro_consumer_t **chosen, void **chosen_context,
                     void *context) {
    (void)context;
    node *self = (node *)consumer;
    if (branch >= avro_schema_union_size(consumer->schema)) return fail(self->decoder, CAVRO_DAMAGED);
    if (self->field >= 0) self->decoder->values[self->field].branch = (int)branch;
    return descend(self, avro_schema_union_branch(consumer->schema, (int)branch), self->field, chosen,
                   chosen_context);
}

// MARK: The decoder

cavro_decoder *cavro_decoder_create(void) {
    cavro_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) return NULL;
    for (int depth = 0; depth <= CAVRO_MAXIMUM_DEPTH; ++depth) {
        decoder->nodes[depth] = (node){
            .consumer = {.null_value = on_null,
                         .boolean_value = on_boolean,
                         .int_value = on_int,
                         .long_value = on_long,
                         .float_value = on_float,
                         .double_value = on_double,
                         .string_value = on_string,
                         .bytes_value = on_bytes,
                         .fixed_value = on_fixed,
                         .enum_value = on_enum,
                         .array_start_block = on_block,
                         .array_element = on_element,
                         .map_start_block = on_block,
                         .map_element = on_entry,
                         .record_start = on_record,
                         .record_field = on_field,
                         .union_branch = on_branch},
            .decoder = decoder,
            .depth = depth,
            .field = -1,
        };
    }
    take_lock();
    decoder->reader = avro_reader_memory("", 0);
    pthread_mutex_unlock(&lock);
    if (decoder->reader) return decoder;
    free(decoder);
    return NULL;
}

/// What the last record has left.
static void clear(cavro_decoder *decoder) {
    while (decoder->blocks) {
        block *next = decoder->blocks->next;
        free(decoder->blocks);
        decoder->blocks = next;
    }
    decoder->allocated = 0;
}

void cavro_decoder_destroy(cavro_decoder *decoder) {
    take_lock();
    clear(decoder);
    avro_reader_free(decoder->reader);
    pthread_mutex_unlock(&lock);
    free(decoder);
}

int cavro_decode(cavro_decoder *decoder, const cavro_schema *schema, const void *bytes, size_t length,
                 cavro_value *values) {
    take_lock();
    clear(decoder);
    memset(values, 0, cavro_field_count(schema) * sizeof *values);
    decoder->values = values;
    decoder->fault = CAVRO_READ;
    // Texts with the zeros that libavro puts behind them, each of which has a byte of its own for its length; and one of
    // fixed length that the schema may have.
    decoder->allowed = 2 * length + 4096;
    // A value takes a byte, but for nulls and records of nothing.
    decoder->steps = 0;
    decoder->allowed_steps = 4 * length + 10000;
    decoder->nodes[0].consumer.schema = schema->record;
    avro_reader_memory_set_source(decoder->reader, bytes, (int64_t)length);
    reading = decoder;
    const int status = avro_consume_binary(decoder->reader, &decoder->nodes[0].consumer, NULL);
    reading = NULL;
    int outcome = decoder->fault;
    char rest;
    if (outcome == CAVRO_READ && status != 0) outcome = CAVRO_DAMAGED;
    // avro_reader_is_eof knows files only.
    if (outcome == CAVRO_READ && avro_read(decoder->reader, &rest, 1) == 0) outcome = CAVRO_TOO_LONG;
    pthread_mutex_unlock(&lock);
    return outcome;
}
