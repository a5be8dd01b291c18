/* Half-space trees, a detector in plain C.
 *
 * S. C. Tan, K. M. Ting, F. T. Liu, "Fast anomaly detection for streaming data", IJCAI 2011. Every tree halves
 * the space of the features at random until it is `depth` levels deep, without looking at the data. How many
 * rows of a reference window fall into a node is its mass; a row in a node of little mass is unusual.
 *
 * The model is its artifact: scoring walks the bytes as they were read, without decoding them. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detector_plugin.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "artifacts are little-endian"
#endif

DETECTOR_PLUGIN_STAMP(0);

enum { TREES, DEPTH, WINDOW, PARAMETER_COUNT };
enum { MAXIMUM_TREES = 256, MAXIMUM_DEPTH = 15, MAXIMUM_COLUMNS = 65536 };

static const detector_parameter parameters[PARAMETER_COUNT] = {
    [TREES] = {.name = "trees", .meaning = "Trees whose masses are added up.", .kind = DETECTOR_INTEGER,
               .minimum = {.integer = 1}, .maximum = {.integer = MAXIMUM_TREES}, .default_value = {.integer = 25}},
    [DEPTH] = {.name = "depth", .meaning = "Levels of halving; the artifact doubles with each.",
               .kind = DETECTOR_INTEGER, .minimum = {.integer = 1}, .maximum = {.integer = MAXIMUM_DEPTH},
               .default_value = {.integer = 10}},
    [WINDOW] = {.name = "window", .meaning = "Rows learned before they become what is usual.",
                .kind = DETECTOR_INTEGER, .minimum = {.integer = 10}, .maximum = {.integer = 1000000},
                .default_value = {.integer = 250}},
};

/* ---- The artifact ------------------------------------------------------------------------------------
 * header | splits, trees x (2^depth - 1) | masses, trees x (2^(depth + 1) - 1). The children of node n are
 * 2n + 1 and 2n + 2. */

static const char magic[8] = {'H', 'S', 'T', 'R', 'E', 'E', 'S', '1'};

typedef struct header {
    char magic[8];
    uint32_t trees;
    uint32_t depth;
    uint32_t columns;
    uint32_t window;
    uint32_t rows; /* in the reference window */
    uint32_t reserved;
} header;

typedef struct split {
    float threshold; /* a value below it goes to the first child */
    uint32_t column;
} split;

static size_t splits_per_tree(const header *h) { return ((size_t)1 << h->depth) - 1; }
static size_t masses_per_tree(const header *h) { return ((size_t)2 << h->depth) - 1; }

static size_t artifact_size(const header *h) {
    return sizeof(header) +
           h->trees * (splits_per_tree(h) * sizeof(split) + masses_per_tree(h) * sizeof(uint32_t));
}

struct detector_model {
    const header *artifact;
    void *owned; /* NULL: the artifact is the host's */
};

struct detector_learner {
    header *artifact;
    uint32_t *latest; /* masses of the rows since the last window was full */
    uint32_t seen;
};

static const split *splits_of(const header *h) { return (const split *)(h + 1); }
static const uint32_t *masses_of(const header *h) {
    return (const uint32_t *)(splits_of(h) + h->trees * splits_per_tree(h));
}

static detector_status fail(detector_error *error, detector_status status, const char *why) {
    snprintf(error->message, sizeof error->message, "%s", why);
    return status;
}

/* ---- Growing ----------------------------------------------------------------------------------------- */

/* SplitMix64. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

typedef struct range {
    double low, high;
} range;

/* The least and greatest finite value of each column; 0 to 1 where there is none. */
static void find_ranges(const float *values, uint64_t rows, uint64_t columns, range *ranges) {
    for (uint64_t column = 0; column < columns; column++) {
        range found = {0, 1};
        bool is_first = true;
        for (uint64_t row = 0; row < rows; row++) {
            double value = values[row * columns + column];
            if (!(value - value == 0)) continue; /* NaN or infinite */
            if (is_first || value < found.low) found.low = value;
            if (is_first || value > found.high) found.high = value;
            is_first = false;
        }
        ranges[column] = found;
    }
}

/* Section 3 of the paper: a random work range around each column's own, so that trees differ. */
static void draw_work_ranges(const range *ranges, uint64_t columns, uint64_t *random, range *work) {
    for (uint64_t column = 0; column < columns; column++) {
        double width = ranges[column].high - ranges[column].low;
        if (!(width > 0)) width = 1;
        double s = (double)(next_random(random) >> 11) * 0x1p-53;
        double reach = 2 * (s > 1 - s ? s : 1 - s);
        work[column].low = ranges[column].low + (s - reach) * width;
        work[column].high = ranges[column].low + (s + reach) * width;
    }
}

static float to_float(double value) {
    const double most = 3.4028234663852886e38;
    return (float)(value > most ? most : value < -most ? -most : value);
}

static void grow(split *splits, size_t count, size_t node, uint64_t columns, uint64_t *random, range *work) {
    if (node >= count) return;
    uint32_t column = (uint32_t)(next_random(random) % columns);
    range before = work[column];
    double middle = 0.5 * before.low + 0.5 * before.high;
    splits[node] = (split){.threshold = to_float(middle), .column = column};
    work[column].high = middle;
    grow(splits, count, 2 * node + 1, columns, random, work);
    work[column] = (range){middle, before.high};
    grow(splits, count, 2 * node + 2, columns, random, work);
    work[column] = before;
}

/* A missing value goes where more of the reference window went. */
static size_t child(const split *at, const uint32_t *mass, size_t node, const float *row) {
    float value = row[at[node].column];
    size_t first = 2 * node + 1;
    if (value != value) return mass[first] >= mass[first + 1] ? first : first + 1;
    return value < at[node].threshold ? first : first + 1;
}

static void count_row(const header *h, uint32_t *masses, const float *row) {
    for (uint32_t tree = 0; tree < h->trees; tree++) {
        const split *at = splits_of(h) + tree * splits_per_tree(h);
        uint32_t *mass = masses + tree * masses_per_tree(h);
        size_t node = 0;
        mass[0]++;
        for (uint32_t level = 0; level < h->depth; level++) {
            node = child(at, mass, node, row);
            mass[node]++;
        }
    }
}

static detector_status make_model(header *owned, detector_model **model, detector_error *error) {
    detector_model *made = malloc(sizeof *made);
    if (made == NULL) {
        free(owned);
        return fail(error, DETECTOR_FAILED, "out of memory");
    }
    *made = (detector_model){owned, owned};
    *model = made;
    return DETECTOR_OK;
}

static detector_status fit(const float *values, uint64_t row_count, uint64_t column_count, const int8_t *labels,
                           const detector_fit_context *context, detector_model **model, detector_error *error) {
    (void)labels;
    if (row_count == 0) return fail(error, DETECTOR_INVALID_INPUT, "there are no rows to fit on");
    if (row_count > UINT32_MAX) return fail(error, DETECTOR_INVALID_INPUT, "more than 2^32 rows");
    if (column_count > MAXIMUM_COLUMNS) return fail(error, DETECTOR_INVALID_INPUT, "more than 65,536 columns");
    header h = {.trees = (uint32_t)context->parameters[TREES].integer,
                .depth = (uint32_t)context->parameters[DEPTH].integer,
                .columns = (uint32_t)column_count,
                .window = (uint32_t)context->parameters[WINDOW].integer,
                .rows = (uint32_t)row_count};
    memcpy(h.magic, magic, sizeof magic);
    header *artifact = calloc(1, artifact_size(&h));
    range *ranges = malloc(2 * column_count * sizeof *ranges);
    if (artifact == NULL || ranges == NULL) {
        free(artifact);
        free(ranges);
        return fail(error, DETECTOR_FAILED, "out of memory");
    }
    *artifact = h;
    find_ranges(values, row_count, column_count, ranges);
    split *splits = (split *)(artifact + 1);
    uint64_t random = context->seed;
    for (uint32_t tree = 0; tree < h.trees; tree++) {
        draw_work_ranges(ranges, column_count, &random, ranges + column_count);
        grow(splits + tree * splits_per_tree(&h), splits_per_tree(&h), 0, column_count, &random,
             ranges + column_count);
    }
    free(ranges);
    uint32_t *masses = (uint32_t *)(splits + h.trees * splits_per_tree(&h));
    for (uint64_t row = 0; row < row_count; row++) {
        if (row % 1024 == 0) {
            if (context->is_cancelled(context->host)) {
                free(artifact);
                return DETECTOR_CANCELLED;
            }
            context->progress(context->host, (double)row / (double)row_count);
        }
        count_row(artifact, masses, values + row * column_count);
    }
    return make_model(artifact, model, error);
}

/* ---- Reading ----------------------------------------------------------------------------------------- */

static detector_status decode(const uint8_t *bytes, uint64_t byte_count, detector_model **model,
                              detector_error *error) {
    const header *h = (const header *)bytes; /* aligned to 64 */
    if (byte_count < sizeof *h || memcmp(h->magic, magic, sizeof magic) != 0)
        return fail(error, DETECTOR_INVALID_ARTIFACT, "it does not start as half-space trees do");
    if (h->trees < 1 || h->trees > MAXIMUM_TREES || h->depth < 1 || h->depth > MAXIMUM_DEPTH || h->columns < 1 ||
        h->columns > MAXIMUM_COLUMNS || h->window < 1 || h->rows < 1)
        return fail(error, DETECTOR_INVALID_ARTIFACT, "a number in its header is out of range");
    if (byte_count != artifact_size(h))
        return fail(error, DETECTOR_INVALID_ARTIFACT, "its length is not what its header says");
    for (size_t i = 0; i < h->trees * splits_per_tree(h); i++) {
        if (splits_of(h)[i].column >= h->columns || splits_of(h)[i].threshold != splits_of(h)[i].threshold)
            return fail(error, DETECTOR_INVALID_ARTIFACT, "a split names no column or no number");
    }
    for (size_t i = 0; i < h->trees * masses_per_tree(h); i++) {
        if (masses_of(h)[i] > h->rows)
            return fail(error, DETECTOR_INVALID_ARTIFACT, "a node holds more rows than there were");
    }
    detector_model *made = malloc(sizeof *made);
    if (made == NULL) return fail(error, DETECTOR_FAILED, "out of memory");
    *made = (detector_model){h, NULL};
    *model = made;
    return DETECTOR_OK;
}

static uint64_t column_count(const detector_model *model) { return model->artifact->columns; }
static uint64_t encoded_size(const detector_model *model) { return artifact_size(model->artifact); }

static void encode(const detector_model *model, uint8_t *bytes, uint64_t byte_count) {
    memcpy(bytes, model->artifact, byte_count);
}

static void destroy_model(detector_model *model) {
    free(model->owned);
    free(model);
}

/* ---- Scoring ----------------------------------------------------------------------------------------- */

/* Section 4 of the paper: mass times 2^level of the node where the row's way ends, here as a mean over the trees
 * and a share of the window. A way ends early where a tenth of the window or less is left. About 1 for rows as
 * they would be if they filled the space evenly, 0 where nothing was ever seen. Sums of whole numbers below 2^63:
 * exact, so the order does not matter. */
static double score_row(const header *h, const float *row) {
    uint64_t sum = 0;
    uint32_t few = h->rows / 10;
    for (uint32_t tree = 0; tree < h->trees; tree++) {
        const split *at = splits_of(h) + tree * splits_per_tree(h);
        const uint32_t *mass = masses_of(h) + tree * masses_per_tree(h);
        size_t node = 0;
        uint32_t level = 0;
        while (level < h->depth && mass[node] > few) {
            node = child(at, mass, node, row);
            level++;
        }
        sum += (uint64_t)mass[node] << level;
    }
    return (double)sum / ((double)h->rows * h->trees);
}

static detector_status score(const detector_model *model, const float *values, uint64_t row_count, double *scores,
                             detector_error *error) {
    (void)error;
    const header *h = model->artifact;
    for (uint64_t row = 0; row < row_count; row++) scores[row] = score_row(h, values + row * h->columns);
    return DETECTOR_OK;
}

/* ---- Learning ---------------------------------------------------------------------------------------- */

static header *copy_artifact(const header *h) {
    header *copy = malloc(artifact_size(h));
    return copy == NULL ? NULL : memcpy(copy, h, artifact_size(h));
}

static void destroy_learner(detector_learner *learner) {
    free(learner->artifact);
    free(learner->latest);
    free(learner);
}

static detector_learner *make_learner(const detector_model *model) {
    detector_learner *learner = calloc(1, sizeof *learner);
    if (learner == NULL) return NULL;
    const header *h = model->artifact;
    learner->artifact = copy_artifact(h);
    learner->latest = calloc(h->trees * masses_per_tree(h), sizeof *learner->latest);
    if (learner->artifact == NULL || learner->latest == NULL) {
        destroy_learner(learner);
        return NULL;
    }
    return learner;
}

/* The latest masses become the reference once a window is full. */
static detector_status learn(detector_learner *learner, const float *row, detector_error *error) {
    (void)error;
    header *h = learner->artifact;
    count_row(h, learner->latest, row);
    if (++learner->seen < h->window) return DETECTOR_OK;
    size_t size = h->trees * masses_per_tree(h) * sizeof *learner->latest;
    memcpy((uint32_t *)masses_of(h), learner->latest, size);
    memset(learner->latest, 0, size);
    h->rows = learner->seen;
    learner->seen = 0;
    return DETECTOR_OK;
}

static detector_model *learned_model(const detector_learner *learner) {
    detector_error ignored;
    detector_model *model = NULL;
    header *copy = copy_artifact(learner->artifact);
    if (copy != NULL) make_model(copy, &model, &ignored);
    return model;
}

/* ---- The table --------------------------------------------------------------------------------------- */

static const detector_plugin_c table = {
    .abi_version = DETECTOR_PLUGIN_C_ABI_VERSION,
    .table_size = sizeof(detector_plugin_c),
    .id = "half-space-trees",
    .version = "1.0.0",
    .summary = "Rows that fall where few others of the latest window fell are unusual; learns from a stream.",
    .parameters = parameters,
    .parameter_count = PARAMETER_COUNT,
    .fit = fit,
    .decode = decode,
    .column_count = column_count,
    .score = score,
    .encoded_size = encoded_size,
    .encode = encode,
    .destroy_model = destroy_model,
    .make_learner = make_learner,
    .learn = learn,
    .learned_model = learned_model,
    .destroy_learner = destroy_learner,
};

const detector_plugin_c *detector_plugin_c_main(void) { return &table; }
