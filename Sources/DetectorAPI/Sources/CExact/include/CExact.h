// What Swift imports. C++ includes exact.h itself, which the module map leaves out: clang refuses to include a header
// of a module that it has not built.
#include "exact.h"
