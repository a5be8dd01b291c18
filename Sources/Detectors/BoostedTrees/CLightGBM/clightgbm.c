#include "clightgbm.h"

#include <dlfcn.h>
#include <stdio.h>

int lightgbm_open(const char *library, lightgbm_functions *functions, char *reason, size_t room) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *error = dlerror();
        snprintf(reason, room, "%s", error ? error : "it cannot be loaded");
        return 0;
    }
    struct {
        const char *name;
        void **function;
    } wanted[] = {
        {"LGBM_GetLastError", (void **)&functions->last_error},
        {"LGBM_DatasetCreateFromMat", (void **)&functions->dataset_create},
        {"LGBM_DatasetFree", (void **)&functions->dataset_free},
        {"LGBM_BoosterCreate", (void **)&functions->booster_create},
        {"LGBM_BoosterFree", (void **)&functions->booster_free},
        {"LGBM_BoosterUpdateOneIterCustom", (void **)&functions->booster_update},
        {"LGBM_BoosterGetPredict", (void **)&functions->booster_sums},
        {"LGBM_BoosterSaveModelToString", (void **)&functions->booster_save},
        {"LGBM_BoosterLoadModelFromString", (void **)&functions->booster_load},
        {"LGBM_BoosterPredictForMat", (void **)&functions->booster_predict},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].function = dlsym(handle, wanted[i].name);
        if (!*wanted[i].function) {
            snprintf(reason, room, "%s has no function %s", library, wanted[i].name);
            return 0;
        }
    }
    return 1;
}
