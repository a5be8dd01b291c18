// One way from C++ failures to `pq_error`.
#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include <arrow/result.h>
#include <arrow/status.h>
#include <parquet/exception.h>

#include "include/parquet_shim.h"

namespace pq {

/// A failure that already knows its kind.
struct Failure : std::runtime_error {
    Failure(pq_error_kind kind, const std::string &message, int64_t row = -1)
        : std::runtime_error(message), kind(kind), row(row) {}
    pq_error_kind kind;
    int64_t row;
};

/// The source could not read. Arrow passes a status through its layers as it is, but Parquet turns it into text:
/// the file therefore remembers (`StoreFile::source_failed`), and this is only how the news gets out.
inline constexpr const char *source_failed_message = "the source could not be read";

inline void fill(pq_error *error, pq_error_kind kind, std::string_view message, int64_t row = -1) {
    error->kind = kind;
    error->row = row;
    size_t length = std::min(message.size(), sizeof error->message - 1);
    std::memcpy(error->message, message.data(), length);
    error->message[length] = 0;
}

inline void check(const arrow::Status &status) {
    if (status.ok()) return;
    if (status.IsOutOfMemory()) throw Failure(PQ_MEMORY, status.message());
    throw Failure(PQ_DAMAGED, status.message());
}

template <typename T> T check(arrow::Result<T> result) {
    check(result.status());
    return std::move(result).ValueUnsafe();
}

/// Runs `body`; whatever it throws becomes the error, and the call gives `failed`.
template <typename Body, typename Value> Value guard(pq_error *error, Value failed, Body body) noexcept {
    error->kind = PQ_NONE;
    error->row = -1;
    error->message[0] = 0;
    try {
        return body();
    } catch (const Failure &failure) {
        fill(error, failure.kind, failure.what(), failure.row);
    } catch (const parquet::ParquetStatusException &failure) {
        const auto &status = failure.status();
        fill(error, status.IsOutOfMemory() ? PQ_MEMORY : PQ_DAMAGED, status.message());
    } catch (const std::bad_alloc &) {
        fill(error, PQ_MEMORY, "out of memory");
    } catch (const std::length_error &failure) {
        fill(error, PQ_DAMAGED, failure.what());
    } catch (const std::exception &failure) {
        fill(error, PQ_DAMAGED, failure.what());
    } catch (...) {
        fill(error, PQ_DAMAGED, "unknown failure");
    }
    return failed;
}

}  // namespace pq
