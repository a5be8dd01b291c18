#include "vector_units.h"

#include <stdlib.h>
#include <string.h>

int vector_unit_is_supported(vector_unit unit) {
    switch (unit) {
    case VECTOR_UNIT_PORTABLE:
        return 1;
#if defined(__x86_64__)
    case VECTOR_UNIT_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
               __builtin_cpu_supports("popcnt");
    case VECTOR_UNIT_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") &&
               __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
#elif defined(__aarch64__)
    case VECTOR_UNIT_NEON:
        return 1;
#endif
    default:
        return 0;
    }
}

static const char *const variable_names[VECTOR_UNIT_COUNT] = {"portable", "avx2", "avx512", "neon"};

const char *vector_unit_variable_name(vector_unit unit) { return variable_names[unit]; }

vector_unit vector_unit_in_use(void) {
    const char *wanted = getenv("ML_SERVICE_VECTOR_UNIT");
    for (int unit = VECTOR_UNIT_COUNT - 1; unit >= 0; unit--) {
        if (wanted && strcmp(wanted, variable_names[unit]) == 0 && vector_unit_is_supported((vector_unit)unit))
            return (vector_unit)unit;
    }
    for (int unit = VECTOR_UNIT_COUNT - 1; unit > 0; unit--) {
        if (vector_unit_is_supported((vector_unit)unit)) return (vector_unit)unit;
    }
    return VECTOR_UNIT_PORTABLE;
}

const char *vector_unit_name(vector_unit unit) {
    switch (unit) {
    case VECTOR_UNIT_AVX512:
        return "AVX-512";
    case VECTOR_UNIT_AVX2:
        return "AVX2";
    case VECTOR_UNIT_NEON:
        return "NEON";
    default:
#if defined(__x86_64__)
        return "SSE2";
#else
        return "portable";
#endif
    }
}
