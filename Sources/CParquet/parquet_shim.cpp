#include "parquet_shim.h"
