#ifndef CFORESTKERNELS_H
#define CFORESTKERNELS_H

#include "boosted_kernels.h"
#include "forest_kernels.h"
#include "vector_units.h"

#endif
