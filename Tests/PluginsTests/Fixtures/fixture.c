/* A detector as small as one can be, and its faults: the tests compile it with -DFAULT=<one of these>. It scores
 * -|first feature - mean|. */

#define NONE 0
#define NO_TABLE 1          /* detector_plugin_c_main gives NULL */
#define OLD_TABLE 2         /* a table of another ABI version */
#define SHORT_TABLE 3       /* a table of fewer bytes */
#define NO_SCORE 4          /* a required function is NULL */
#define HALF_LEARNER 5      /* one of four optional functions */
#define BAD_ID 6            /* an id with spaces */
#define BAD_TEXT 7          /* a summary that is not UTF-8 */
#define BAD_DEFAULT 8       /* a default out of its range */
#define NO_MODEL 9          /* fit says OK and gives nothing */
#define WRONG_COLUMNS 10    /* the model has other columns than the rows */
#define SCORE_NAN 11        /* a score that is no number */
#define SCORE_FEWER 12      /* the last score is not filled in */
#define NO_ARTIFACT 13      /* an artifact of no bytes */
#define CRASH_AT_LOAD 14    /* SIGSEGV in a constructor */
#define CRASH_IN_FIT 15     /* SIGSEGV */
#define ABORT_IN_SCORE 16   /* SIGABRT */
#define HANG_IN_FIT 17      /* for ever */
#define EXIT_IN_DECODE 18   /* ends the process */
#define STRANGE_STATUS 19   /* a status that is not defined */
#define FORGETS_SEED 20     /* the same seed gives other bytes */
#define MEETS_NEIGHBOURS 21 /* a row's score depends on the batch */
#define LEAKS 22            /* in every call of score */
#define TRUSTS_ARTIFACT 23  /* an index from the artifact is not checked */
#define UPSIDE_DOWN 24      /* higher is more anomalous */
#define SHARES_SCRATCH 25   /* score writes to a global */
#define FEARS_NAN 26        /* fails on a missing value */
#define ALLOCATES_MUCH 27   /* more memory than it may have */
#define CRASH_ON_WIDE 28    /* with 1,000 columns or more */
#define NAN_FAR_AWAY 29     /* a score that is no number, for a feature beyond a million */
#define CRASH_FAR_AWAY 30   /* SIGSEGV, for a feature beyond a million */
#define HANG_FAR_AWAY 31    /* for ever, for a feature beyond a million */
#define OPENS_SOCKET 32     /* in fit, as those that follow: fails with "it could" if it can */
#define READS_FILE 33       /* /etc/passwd */
#define WRITES_FILE 34      /* in /tmp, and beside itself */
#define STARTS_PROGRAM 35
#define SIGNALS_PARENT 36
#define SEES_ENVIRONMENT 37 /* PATH or HOME */
#define STARTS_THREAD 38    /* fails if it cannot */
#define IS_ROOT 39          /* or can become it */

#ifndef FAULT
#define FAULT NONE
#endif
#ifndef VERSION
#define VERSION "1.0.0"
#endif

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "detector_plugin.h"

DETECTOR_PLUGIN_STAMP(0);

struct detector_model {
    uint64_t columns;
    uint64_t column; /* the one that counts */
    double mean;
};

struct detector_learner {
    detector_model model;
    double count;
};

static const char *const colours[] = {"red", "green"};

static const detector_parameter parameters[] = {
    {"shift", "Added to the mean.", DETECTOR_REAL, 0, NULL, {0, -1.0}, {0, 1.0}, {0, FAULT == BAD_DEFAULT ? 2 : 0}},
    {"count", "A number.", DETECTOR_INTEGER, 0, NULL, {1, 0}, {9, 0}, {3, 0}},
    {"flag", "A switch.", DETECTOR_BOOLEAN, 0, NULL, {0, 0}, {0, 0}, {1, 0}},
    {"colour", "A choice.", DETECTOR_CHOICE, 2, colours, {0, 0}, {0, 0}, {1, 0}},
};

static int *volatile nowhere;
static volatile double scratch;
static unsigned fits;

#if FAULT == CRASH_AT_LOAD
__attribute__((constructor)) static void crash(void) { *nowhere = 1; }
#endif

static detector_status fail(detector_error *error, detector_status status, const char *why) {
    strncpy(error->message, why, sizeof error->message - 1);
    return status;
}

static detector_model *copy(const detector_model *model) {
    detector_model *made = malloc(sizeof *made);
    if (made != NULL) *made = *model;
    return made;
}

static void *nothing(void *argument) { return argument; }

/* Whether a plugin could do what it has no business doing. */
static bool trespasses(void) {
    int file = -1;
    if (FAULT == OPENS_SOCKET) file = socket(AF_INET, SOCK_STREAM, 0);
    if (FAULT == READS_FILE) file = open("/etc/passwd", O_RDONLY);
    if (FAULT == WRITES_FILE) file = open("/tmp/ml-service-fixture", O_WRONLY | O_CREAT, 0600);
    if (FAULT == STARTS_PROGRAM) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        if (child > 0) waitpid(child, NULL, 0);
        return child > 0;
    }
    if (FAULT == SIGNALS_PARENT) return kill(getppid(), 0) == 0;
    if (FAULT == IS_ROOT) return geteuid() == 0 || setuid(0) == 0;
    if (FAULT == SEES_ENVIRONMENT) return getenv("PATH") != NULL || getenv("HOME") != NULL;
    if (FAULT == STARTS_THREAD) {
        pthread_t thread;
        return pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0;
    }
    if (file >= 0) close(file);
    return file >= 0;
}

static detector_status fit(const float *values, uint64_t rows, uint64_t columns, const int8_t *labels,
                           const detector_fit_context *context, detector_model **model, detector_error *error) {
    (void)labels;
    if (rows == 0) return fail(error, DETECTOR_INVALID_INPUT, "no rows");
    if (context->is_cancelled(context->host)) return DETECTOR_CANCELLED;
    if (!context->parameters[2].integer) {
        error->parameter = 2;
        return fail(error, DETECTOR_INVALID_PARAMETER, "must be on");
    }
    if (context->columns[columns - 1].cardinality == 77) return fail(error, DETECTOR_FAILED, context->columns[0].name);
    if (trespasses()) return fail(error, DETECTOR_FAILED, "it could");
    if (FAULT == CRASH_IN_FIT) *nowhere = 1;
    if (FAULT == CRASH_ON_WIDE && columns >= 1000) *nowhere = 1;
    while (FAULT == HANG_IN_FIT) sleep(1);
    if (FAULT == STRANGE_STATUS) return fail(error, 99, "something");
    if (FAULT == NO_MODEL) return DETECTOR_OK;
    if (FAULT == ALLOCATES_MUCH) {
        for (size_t size = 0; size < (size_t)64 << 30; size += (size_t)64 << 20) {
            /* Not touched: address space is what is limited, and memory is what others here need. */
            char *volatile memory = malloc((size_t)64 << 20);
            if (memory == NULL) return fail(error, DETECTOR_FAILED, "out of memory");
        }
    }
    double sum = 0, count = 0;
    for (uint64_t row = 0; row < rows; row++) {
        double value = values[row * columns];
        if (isfinite(value)) sum += value, count += 1;
    }
    detector_model made = {columns, 0, count > 0 ? sum / count : 0};
    made.mean += context->parameters[0].real;
    if (FAULT == FORGETS_SEED) made.mean += 1e-9 * ++fits;
    context->progress(context->host, 1);
    *model = copy(&made);
    return *model == NULL ? fail(error, DETECTOR_FAILED, "out of memory") : DETECTOR_OK;
}

static detector_status decode(const uint8_t *bytes, uint64_t size, detector_model **model, detector_error *error) {
    if (FAULT == EXIT_IN_DECODE) exit(0);
    detector_model read;
    if (size != sizeof read) return fail(error, DETECTOR_INVALID_ARTIFACT, "not 24 bytes");
    memcpy(&read, bytes, sizeof read);
    if (read.columns < 1 || read.columns > 65536 || !isfinite(read.mean))
        return fail(error, DETECTOR_INVALID_ARTIFACT, "out of range");
    if (FAULT != TRUSTS_ARTIFACT && read.column >= read.columns)
        return fail(error, DETECTOR_INVALID_ARTIFACT, "no such column");
    *model = copy(&read);
    return *model == NULL ? fail(error, DETECTOR_FAILED, "out of memory") : DETECTOR_OK;
}

static uint64_t column_count(const detector_model *model) { return model->columns + (FAULT == WRONG_COLUMNS); }

static double clamp(float value, double mean) {
    if (isnan(value)) return 0;
    double distance = fabs((double)value - mean);
    return FAULT == UPSIDE_DOWN ? distance : -fmin(distance, 1e300);
}

static detector_status score(const detector_model *model, const float *values, uint64_t rows, double *scores,
                             detector_error *error) {
    if (FAULT == ABORT_IN_SCORE) abort();
    if (FAULT == LEAKS) {
        char *volatile lost = malloc(64);
        lost[0] = 1;
    }
    for (uint64_t row = 0; row < rows; row++) {
        float value = values[row * model->columns + model->column];
        bool is_far = false;
        for (uint64_t column = 0; column < model->columns; column++)
            is_far = is_far || values[row * model->columns + column] > 1e6f;
        if (FAULT == CRASH_FAR_AWAY && is_far) *nowhere = 1;
        while (FAULT == HANG_FAR_AWAY && is_far) sleep(1);
        if (FAULT == FEARS_NAN && isnan(value)) return fail(error, DETECTOR_INVALID_INPUT, "a value is missing");
        scratch = clamp(value, model->mean);
        if (FAULT == SHARES_SCRATCH) {
            for (volatile int wait = 0; wait < 50; wait++) {}
            scores[row] = scratch;
        } else {
            scores[row] = clamp(value, model->mean);
        }
        if (FAULT == NAN_FAR_AWAY && is_far) scores[row] = NAN;
        if (FAULT == MEETS_NEIGHBOURS && row > 0) scores[row] += 1e-12 * scores[row - 1];
    }
    if (FAULT == SCORE_NAN) scores[rows / 2] = NAN;
    return DETECTOR_OK;
}

static detector_status score_fewer(const detector_model *model, const float *values, uint64_t rows, double *scores,
                                   detector_error *error) {
    return score(model, values, rows - 1, scores, error);
}

static uint64_t encoded_size(const detector_model *model) { return FAULT == NO_ARTIFACT ? 0 : sizeof *model; }
static void encode(const detector_model *model, uint8_t *bytes, uint64_t size) { memcpy(bytes, model, size); }
static void destroy_model(detector_model *model) { free(model); }

static double expected_score(const detector_model *model) {
    (void)model;
    return 0;
}

static detector_status explain(const detector_model *model, const float *values, uint64_t rows, double *scores,
                               double *contributions, detector_error *error) {
    detector_status status = score(model, values, rows, scores, error);
    memset(contributions, 0, rows * model->columns * sizeof *contributions);
    for (uint64_t row = 0; row < rows; row++) contributions[row * model->columns + model->column] = scores[row];
    return status;
}

static detector_learner *make_learner(const detector_model *model) {
    detector_learner *learner = malloc(sizeof *learner);
    if (learner != NULL) *learner = (detector_learner){*model, 1};
    return learner;
}

static detector_status learn(detector_learner *learner, const float *row, detector_error *error) {
    if (row[0] < -1e6f) return fail(error, DETECTOR_INVALID_INPUT, "far too low");
    if (!isfinite(row[0])) return DETECTOR_OK;
    learner->count += 1;
    learner->model.mean += (row[0] - learner->model.mean) / learner->count;
    return DETECTOR_OK;
}

static detector_model *learned_model(const detector_learner *learner) { return copy(&learner->model); }
static void destroy_learner(detector_learner *learner) { free(learner); }

static const detector_plugin_c table = {
    FAULT == OLD_TABLE ? 77 : DETECTOR_PLUGIN_C_ABI_VERSION,
    FAULT == SHORT_TABLE ? 16 : sizeof(detector_plugin_c),
    FAULT == BAD_ID ? "Not An Id" : "fixture",
    VERSION,
    FAULT == BAD_TEXT ? "\xff\xfe" : "A fixture.",
    parameters,
    4,
    fit,
    decode,
    column_count,
    FAULT == NO_SCORE      ? NULL
    : FAULT == SCORE_FEWER ? score_fewer
                           : score,
    encoded_size,
    encode,
    destroy_model,
    expected_score,
    explain,
    FAULT == HALF_LEARNER ? NULL : make_learner,
    learn,
    learned_model,
    destroy_learner,
};

const detector_plugin_c *detector_plugin_c_main(void) { return FAULT == NO_TABLE ? NULL : &table; }
