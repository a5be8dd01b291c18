#pragma once

#include <string>
#include <string_view>

/// Rewrites numbers that are JSON but that simdjson 3.0.1 refuses: whole numbers beyond 64 bits become
/// doubles, by an `e0` appended, and numbers beyond the range of a double become `[]`, which no field takes. So does the
/// `Infinity` that Python writes, which is no JSON, and its `NaN` becomes `null`.
///
/// Returns false when there was nothing to rewrite. `json` may be any bytes.
bool rewrite_numbers(std::string_view json, std::string &rewritten);
