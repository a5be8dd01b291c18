#ifndef VECTOR_UNITS_H
#define VECTOR_UNITS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#define IN_SWIFT(name) __attribute__((swift_name(name)))
#define CLOSED_ENUM __attribute__((enum_extensibility(closed), swift_name("VectorUnit")))
#else
#define IN_SWIFT(name)
#define CLOSED_ENUM
#endif

/* What the loops of this library can be run on. Their results are the same bits. */
typedef enum CLOSED_ENUM vector_unit {
    VECTOR_UNIT_PORTABLE IN_SWIFT("portable") = 0, /* loops for any processor, with vectors of 128 bits if its compiler makes some */
    VECTOR_UNIT_AVX2 IN_SWIFT("avx2") = 1,
    VECTOR_UNIT_AVX512 IN_SWIFT("avx512") = 2,
    VECTOR_UNIT_NEON IN_SWIFT("neon") = 3, /* what every arm64 processor has */
} vector_unit;

#define VECTOR_UNIT_COUNT 4

/* 1 if this processor and system have it. */
int vector_unit_is_supported(vector_unit unit) IN_SWIFT("getter:VectorUnit.supported(self:)");

/* The widest that is supported; or the one that the environment variable ML_SERVICE_VECTOR_UNIT names (portable, avx2,
 * avx512, neon), if it is supported: for tests and measurements. */
vector_unit vector_unit_in_use(void) IN_SWIFT("getter:VectorUnit.inUse()");

/* As the environment variable names it. */
const char *vector_unit_variable_name(vector_unit unit) IN_SWIFT("getter:VectorUnit.cVariableName(self:)");

/* For people: "AVX-512", "AVX2", "NEON", "SSE2" for portable on x86-64, "portable". */
const char *vector_unit_name(vector_unit unit) IN_SWIFT("getter:VectorUnit.cName(self:)");

#endif
