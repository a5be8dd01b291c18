#ifndef CLIGHTGBM_H
#define CLIGHTGBM_H

/* The part of LightGBM's C interface (its include/LightGBM/c_api.h, version 4) that fitting needs, in declarations of our
 * own. The library is looked for when a model is fitted, not when a program that may fit one is started: scoring needs
 * nothing of it. */

#include <stddef.h>
#include <stdint.h>

/* Functions of the loaded library. Those that give an int give 0 when all is well; else `last_error` says what is wrong,
 * on the same thread. Handles may be used by one thread at a time. */
typedef struct lightgbm_functions {
    const char *(*last_error)(void);

    /* Rows of floats (type 0) or doubles (1). `reference` has the bins of another data set used, or is NULL. */
    int (*dataset_create)(const void *values, int type, int32_t rows, int32_t columns, int is_row_major,
                          const char *parameters, void *reference, void **dataset);
    int (*dataset_free)(void *dataset);

    int (*booster_create)(void *dataset, const char *parameters, void **booster);
    int (*booster_free)(void *booster);
    /* Grows a tree along gradients and hessians, one a row of the data set; `is_finished` becomes 1 when nothing is left
     * to be split. */
    int (*booster_update)(void *booster, const float *gradients, const float *hessians, int *is_finished);
    /* The sums so far, one a row: of the training rows for data set 0. */
    int (*booster_sums)(void *booster, int dataset, int64_t *count, double *sums);
    /* As text, `*size` bytes with a terminating zero, which are written if there is room for all of them. */
    int (*booster_save)(void *booster, int first, int count, int importance, int64_t room, int64_t *size, char *text);

    /* What tests and benchmarks compare with. */
    int (*booster_load)(const char *text, int *iterations, void **booster);
    int (*booster_predict)(void *booster, const void *values, int type, int32_t rows, int32_t columns, int is_row_major,
                           int kind, int first, int count, const char *parameters, int64_t *written, double *results);
} lightgbm_functions;

/* Loads the library: a path, or a name that is looked for as the loader does (LD_LIBRARY_PATH, the run path of the image
 * that this is linked into, the system's folders). It stays loaded.
 *
 * Returns 1, or 0 with the reason in `reason`. */
int lightgbm_open(const char *library, lightgbm_functions *functions, char *reason, size_t room);

#endif
