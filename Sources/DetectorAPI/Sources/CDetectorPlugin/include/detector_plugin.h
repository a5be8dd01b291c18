#ifndef DETECTOR_PLUGIN_H
#define DETECTOR_PLUGIN_H

/* The contract for detectors in plain C, or in any language that can export a C function.
 *
 * A plugin is a shared library lib*.so that
 *   - carries a stamp: DETECTOR_PLUGIN_STAMP(0) in one C file (detector_plugin_stamp.h), and
 *   - exports detector_plugin_c_main(), below.
 * The library links nothing of the host's; this header and that one are all it needs. It is never unloaded.
 *
 * Conventions that hold for every function of the table:
 *   - Memory belongs to whoever allocated it. A function borrows what its arguments point to for the length of
 *     the call and keeps no pointer, unless it says otherwise here.
 *   - Only `struct detector_model` and `struct detector_learner` pass from the plugin to the host; the plugin
 *     defines them as it likes, and the host gives each back once, to its destroy function.
 *   - Text is UTF-8 and ends with a zero. Numbers are the machine's own.
 *   - A function that returns detector_status and gives anything but DETECTOR_OK has created nothing; it should
 *     say why in `error`, which is never NULL.
 *   - No function may end the process, change signal handlers, or let a C++ exception out. Artifacts and rows
 *     come from outside: whatever they hold is answered with a status or a score.
 *   - Threads: any function may be called from any thread, and several at once, also for the same model. Only
 *     the learner's functions are exceptions, and say so. No call is made for a model whose destroy has begun.
 */

#include <stddef.h>
#include <stdint.h>

#include "detector_plugin_stamp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Results ---------------------------------------------------------------------------------------- */

typedef uint32_t detector_status;
#define DETECTOR_OK ((detector_status)0)
/* Rows or labels that cannot be fitted or scored. */
#define DETECTOR_INVALID_INPUT ((detector_status)1)
/* A combination of parameters; each by itself is in range, the host has checked that. */
#define DETECTOR_INVALID_PARAMETER ((detector_status)2)
/* Bytes that are no artifact of this detector, or a damaged one. */
#define DETECTOR_INVALID_ARTIFACT ((detector_status)3)
/* The host asked to stop. */
#define DETECTOR_CANCELLED ((detector_status)4)
/* Anything else: out of memory, say. */
#define DETECTOR_FAILED ((detector_status)5)

#define DETECTOR_MESSAGE_SIZE 512

/* Where a function says why it failed. All zeros when the call starts; allocated by the host. */
typedef struct detector_error {
    uint64_t parameter; /* DETECTOR_INVALID_PARAMETER: which one, an index of the plugin's parameters */
    char message[DETECTOR_MESSAGE_SIZE]; /* ends with a zero: what is wrong, without the detector's name */
} detector_error;

/* ---- Parameters ------------------------------------------------------------------------------------- */

#define DETECTOR_INTEGER 1u
#define DETECTOR_REAL 2u
#define DETECTOR_BOOLEAN 3u
#define DETECTOR_CHOICE 4u

/* One value; the parameter's kind says which field counts. */
typedef struct detector_value {
    int64_t integer; /* DETECTOR_INTEGER; DETECTOR_BOOLEAN: 0 or 1; DETECTOR_CHOICE: an index of `choices` */
    double real;     /* DETECTOR_REAL */
} detector_value;

/* Describes a parameter. Constant: lives as long as the library. */
typedef struct detector_parameter {
    const char *name;           /* lower-case words joined by underscores; no two alike */
    const char *meaning;        /* one sentence, with the unit */
    uint32_t kind;              /* DETECTOR_INTEGER, ... */
    uint32_t choice_count;      /* DETECTOR_CHOICE: 1 to 64; otherwise 0 */
    const char *const *choices; /* DETECTOR_CHOICE; otherwise NULL */
    detector_value minimum;     /* DETECTOR_INTEGER, DETECTOR_REAL: inclusive and finite */
    detector_value maximum;
    detector_value default_value; /* within the range */
} detector_parameter;

/* ---- What fitting is given -------------------------------------------------------------------------- */

/* What a column of the rows means. */
typedef struct detector_column {
    const char *name;
    uint64_t cardinality; /* 0: numeric. Otherwise categorical: whole numbers below this; others are missing. */
} detector_column;

typedef struct detector_fit_context {
    uint64_t seed;                    /* the only source of randomness */
    const detector_column *columns;   /* one for each column */
    const detector_value *parameters; /* one for each of the plugin's parameters, in their order */

    /* Both are never NULL, and are called from the thread that called fit, with `host` as their argument. */
    void *host;
    int (*is_cancelled)(void *host);                /* not 0: return DETECTOR_CANCELLED soon. Cheap; ask often. */
    void (*progress)(void *host, double completed); /* the finished part, 0 to 1 */
} detector_fit_context;

/* ---- The table -------------------------------------------------------------------------------------- */

/* A fitted model. Immutable once it is given to the host. */
typedef struct detector_model detector_model;
/* A model in the making. */
typedef struct detector_learner detector_learner;

/* Rows are row-major floats, `row_count` times `column_count`, without gaps. NaN is a missing value; infinities
 * occur. Scores are finite doubles, LOWER IS MORE ANOMALOUS. A row's score depends on that row and the model,
 * not on the rows beside it, the thread, or the machine. */
typedef struct detector_plugin_c {
    uint32_t abi_version; /* DETECTOR_PLUGIN_C_ABI_VERSION */
    uint32_t table_size;  /* sizeof(detector_plugin_c): later versions may append functions */

    const char *id;      /* lower-case words joined by hyphens: "half-space-trees" */
    const char *version; /* of the algorithm and its artifacts: "1.0.0" */
    const char *summary; /* one sentence for people */
    const detector_parameter *parameters; /* NULL when there are none */
    uint64_t parameter_count;             /* at most 256 */

    /* Fits a model. The same arguments give a model with the same artifact, on every machine.
     *
     * labels: one per row, or NULL: 1 for a known anomaly, 0 for a row that counts as usual, -1 for one of which nobody
     *         knows yet.
     * row_count may be 0: that is DETECTOR_INVALID_INPUT, not a crash. column_count is at least 1.
     * model: on DETECTOR_OK receives a model that the host owns until it calls destroy_model. */
    detector_status (*fit)(const float *values, uint64_t row_count, uint64_t column_count, const int8_t *labels,
                           const detector_fit_context *context, detector_model **model, detector_error *error);

    /* Opens an artifact that encode wrote, which may have been damaged since: every length and index in it is
     * to be checked here, so that scoring needs no checks.
     *
     * bytes: aligned to 64, and an exception to the rule: they stay valid and unchanged until destroy_model, so
     * that a model may score from them without a copy. Not to be written or freed. */
    detector_status (*decode)(const uint8_t *bytes, uint64_t byte_count, detector_model **model,
                              detector_error *error);

    /* Features that the model's rows have, 1 to 65,536; the same for the whole life of the model. */
    uint64_t (*column_count)(const detector_model *model);

    /* Scores row_count rows of the model's column_count. Fills all row_count scores. Allocates nothing for
     * each row. */
    detector_status (*score)(const detector_model *model, const float *values, uint64_t row_count,
                             double *scores, detector_error *error);

    /* The length of the artifact, 1 byte to 1 GiB; the same for the whole life of the model. */
    uint64_t (*encoded_size)(const detector_model *model);

    /* Writes the artifact: exactly byte_count bytes, which is what encoded_size gave. Cannot fail. Data only,
     * without addresses: decode in another process gives the same scores, bit for bit. */
    void (*encode)(const detector_model *model, uint8_t *bytes, uint64_t byte_count);

    /* Frees a model. Called once, when no call for the model is under way, from any thread. */
    void (*destroy_model)(detector_model *model);

    /* -- Optional: which features drove a score. Both functions, or both NULL. -- */

    /* The score of a row about which nothing is known: what contributions are measured against. Finite. */
    double (*expected_score)(const detector_model *model);

    /* Scores as `score` does, the same bits, and attributes each score to the features.
     *
     * contributions: row_count times column_count places, row-major. A row's contributions sum to its score
     * minus expected_score, within 1e-9; a negative one made the row more anomalous. */
    detector_status (*explain)(const detector_model *model, const float *values, uint64_t row_count,
                               double *scores, double *contributions, detector_error *error);

    /* -- Optional: learning from further rows, one at a time. All four functions, or all NULL. --
     * A learner is used by one thread at a time. */

    /* A learner that starts from a model. The model may be destroyed while the learner lives. NULL: out of
     * memory. */
    detector_learner *(*make_learner)(const detector_model *model);

    /* Learns one row of the model's column_count. On failure the learner is as it was. */
    detector_status (*learn)(detector_learner *learner, const float *row, detector_error *error);

    /* The model as it is now; later rows do not change it. The host owns it. NULL: out of memory. */
    detector_model *(*learned_model)(const detector_learner *learner);

    /* Frees a learner; models that it gave live on. */
    void (*destroy_learner)(detector_learner *learner);
} detector_plugin_c;

/* The one function that the plugin exports: its table, constant, for as long as the library is loaded. Called from any thread,
 * perhaps more than once. NULL: this plugin cannot work here. */
__attribute__((visibility("default"))) const detector_plugin_c *detector_plugin_c_main(void);

#ifdef __cplusplus
}
#endif

#endif
