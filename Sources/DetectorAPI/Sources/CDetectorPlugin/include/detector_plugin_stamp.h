#ifndef DETECTOR_PLUGIN_STAMP_H
#define DETECTOR_PLUGIN_STAMP_H

/* Every plugin carries one stamp in the ELF section ".mlservice.stamp". The host reads it from the file,
 * before it loads the library, and refuses a library whose stamp differs from its own. */

#include <stdint.h>

#define DETECTOR_PLUGIN_MAGIC "MLSVCDET"
#define DETECTOR_PLUGIN_SECTION ".mlservice.stamp"

/* The layout of the C vtable (detector_plugin.h). Raised by every change that a compiled plugin can notice. */
#define DETECTOR_PLUGIN_C_ABI_VERSION 1u
/* The Swift contract (DetectorAPI). Raised by every change of a protocol or a public type. */
#define DETECTOR_PLUGIN_SWIFT_API_VERSION 3u

/* 128 bytes, little-endian, the same on every machine. */
typedef struct detector_plugin_stamp {
    char magic[8];              /* DETECTOR_PLUGIN_MAGIC, without the terminating zero */
    uint32_t c_abi_version;     /* DETECTOR_PLUGIN_C_ABI_VERSION */
    uint32_t swift_api_version; /* DETECTOR_PLUGIN_SWIFT_API_VERSION, or 0: a plugin in plain C */
    char compiler[112];         /* zero-padded; the toolchain's own version text. Compared for Swift plugins only. */
} detector_plugin_stamp;

#if defined(__clang_version__)
#define DETECTOR_PLUGIN_COMPILER __clang_version__
#else
#define DETECTOR_PLUGIN_COMPILER __VERSION__
#endif

#ifdef __cplusplus
#define DETECTOR_PLUGIN_EXTERN extern "C"
#else
#define DETECTOR_PLUGIN_EXTERN extern
#endif

/* What the host that links this expects of a Swift plugin. */
DETECTOR_PLUGIN_EXTERN const detector_plugin_stamp *detector_plugin_host_stamp(void);

/* A sanitizer would put space around the stamp, and it would have another size. */
#if defined(__clang__)
#define DETECTOR_PLUGIN_PLAIN __attribute__((no_sanitize("address")))
#else
#define DETECTOR_PLUGIN_PLAIN
#endif

/* One line in one C or C++ file of the plugin; 0 as the version says that it has a plain C entry only. Declared
 * before it is defined, because a constant of C++ would otherwise be the file's own and the linker drop it. */
#define DETECTOR_PLUGIN_STAMP(swift_version)                                                               \
    DETECTOR_PLUGIN_EXTERN __attribute__((visibility("default")))                                          \
    const detector_plugin_stamp detector_plugin_stamp_v1;                                                  \
    DETECTOR_PLUGIN_PLAIN __attribute__((used, section(DETECTOR_PLUGIN_SECTION)))                          \
    const detector_plugin_stamp detector_plugin_stamp_v1 = {                                               \
        {'M', 'L', 'S', 'V', 'C', 'D', 'E', 'T'},                                                          \
        DETECTOR_PLUGIN_C_ABI_VERSION, (swift_version), DETECTOR_PLUGIN_COMPILER}

#endif
