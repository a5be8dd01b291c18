#include "detector_plugin_stamp.h"

_Static_assert(sizeof(detector_plugin_stamp) == 128, "the stamp's layout is part of the contract");

/* What this build of the host expects of a Swift plugin. Not in the stamp's section: the host is no plugin. */
const detector_plugin_stamp *detector_plugin_host_stamp(void) {
    static const detector_plugin_stamp stamp = {
        {'M', 'L', 'S', 'V', 'C', 'D', 'E', 'T'},
        DETECTOR_PLUGIN_C_ABI_VERSION, DETECTOR_PLUGIN_SWIFT_API_VERSION, DETECTOR_PLUGIN_COMPILER};
    return &stamp;
}
