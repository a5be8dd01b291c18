// The values of a batch, converted into arrays that the caller owns.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <arrow/array.h>
#include <arrow/scalar.h>
#include <arrow/type_traits.h>
#include <arrow/util/decimal.h>
#include <arrow/util/float16.h>

#include "reader.h"

namespace {

const arrow::Array &column_of(const pq_batch &batch, int32_t column) {
    return pq::plain(*batch.rows->column(column));
}

[[noreturn]] void refuse(const arrow::Array &array, const char *wanted) {
    throw pq::Failure(PQ_TYPE, "is of type " + array.type()->ToString() + ", not " + wanted);
}

/// Calls `body(row, index)` for each row of the batch and its index in the array.
template <typename Body> void for_each_row(const pq_batch &batch, Body body) {
    int64_t count = batch.count();
    if (batch.selected) {
        for (int64_t row = 0; row < count; row++) body(row, static_cast<int64_t>(batch.selection[row]));
    } else {
        for (int64_t row = 0; row < count; row++) body(row, row);  // apart, so that it can be vectorized
    }
}

template <typename ArrayType> struct Typed {
    const ArrayType &array;
    auto operator()(int64_t index) const { return array.GetView(index); }
};

template <typename ArrayType, typename Body> bool with_typed(const arrow::Array &array, Body &body) {
    body(Typed<ArrayType>{static_cast<const ArrayType &>(array)});
    return true;
}

/// Writers that see nothing but nulls give a column no type.
bool is_all_null(const arrow::Array &array) { return array.type_id() == arrow::Type::NA; }

/// Calls `body` with a function from index to number (or bool); false when the array holds no plain numbers.
template <typename Body> bool with_numbers(const arrow::Array &array, Body body) {
    switch (array.type_id()) {
    case arrow::Type::BOOL: return with_typed<arrow::BooleanArray>(array, body);
    case arrow::Type::INT8: return with_typed<arrow::Int8Array>(array, body);
    case arrow::Type::INT16: return with_typed<arrow::Int16Array>(array, body);
    case arrow::Type::INT32: return with_typed<arrow::Int32Array>(array, body);
    case arrow::Type::INT64: return with_typed<arrow::Int64Array>(array, body);
    case arrow::Type::UINT8: return with_typed<arrow::UInt8Array>(array, body);
    case arrow::Type::UINT16: return with_typed<arrow::UInt16Array>(array, body);
    case arrow::Type::UINT32: return with_typed<arrow::UInt32Array>(array, body);
    case arrow::Type::UINT64: return with_typed<arrow::UInt64Array>(array, body);
    case arrow::Type::FLOAT: return with_typed<arrow::FloatArray>(array, body);
    case arrow::Type::DOUBLE: return with_typed<arrow::DoubleArray>(array, body);
    case arrow::Type::HALF_FLOAT: {
        const auto &halves = static_cast<const arrow::HalfFloatArray &>(array);
        body([&](int64_t i) { return arrow::util::Float16::FromBits(halves.Value(i)).ToDouble(); });
        return true;
    }
    default: return false;
    }
}

template <typename ArrayType, typename Decimal, typename Body>
bool with_scaled(const arrow::Array &array, Body &body) {
    const auto &typed = static_cast<const ArrayType &>(array);
    int32_t scale = static_cast<const arrow::DecimalType &>(*array.type()).scale();
    body([&typed, scale](int64_t i) { return Decimal(typed.GetValue(i)).ToDouble(scale); });
    return true;
}

/// The same for decimals, as the nearest double.
template <typename Body> bool with_decimals(const arrow::Array &array, Body body) {
    switch (array.type_id()) {
    case arrow::Type::DECIMAL32: return with_scaled<arrow::Decimal32Array, arrow::Decimal32>(array, body);
    case arrow::Type::DECIMAL64: return with_scaled<arrow::Decimal64Array, arrow::Decimal64>(array, body);
    case arrow::Type::DECIMAL128: return with_scaled<arrow::Decimal128Array, arrow::Decimal128>(array, body);
    case arrow::Type::DECIMAL256: return with_scaled<arrow::Decimal256Array, arrow::Decimal256>(array, body);
    default: return false;
    }
}

/// An exact integer, or PQ_VALUE.
template <typename Number> int64_t whole(Number number, int64_t row) {
    if constexpr (std::is_floating_point_v<Number>) {
        double value = number;
        // 2^63 is the first double above Int64; NaN fails every comparison.
        if (!(value >= -0x1p63 && value < 0x1p63) || std::trunc(value) != value) {
            throw pq::Failure(PQ_VALUE, std::to_string(value) + " is no integer of 64 bits", row);
        }
        return static_cast<int64_t>(value);
    } else if constexpr (std::is_same_v<Number, uint64_t>) {
        if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
            throw pq::Failure(PQ_VALUE, std::to_string(number) + " is no integer of 64 bits", row);
        }
        return static_cast<int64_t>(number);
    } else {
        return static_cast<int64_t>(number);
    }
}

int64_t floor_divide(int64_t value, int64_t divisor) {
    return value / divisor - (value % divisor < 0 ? 1 : 0);
}

/// The value of a row for messages.
std::string description(const pq_batch &batch, int32_t column, int64_t row) {
    auto scalar = batch.rows->column(column)->GetScalar(batch.index(row));
    return scalar.ok() ? (*scalar)->ToString() : "a value that cannot be shown";
}

[[noreturn]] void refuse_value(const pq_batch &batch, int32_t column, int64_t row, const char *wanted) {
    throw pq::Failure(
        PQ_VALUE, "'" + description(batch, column, row) + "' is no " + wanted, batch.first_row + batch.index(row));
}

/// Reads a column of texts as values of another kind; false when it has no texts.
template <typename Value, typename Parse>
bool parse_texts(const pq_batch &batch, int32_t column, Value *values, uint8_t *states, Value missing, Parse parse) {
    return pq::for_each_written_text(batch, column, [&](int64_t row, bool present, std::string_view text) {
        values[row] = missing;
        states[row] = uint8_t(present ? parse(text, &values[row]) : EXACT_MISSING);
        if (states[row] != EXACT_VALUE) values[row] = missing;
    });
}

}  // namespace

void pq_batch_close(pq_batch *batch) { delete batch; }

int64_t pq_batch_count(const pq_batch *batch) { return batch->count(); }

int64_t pq_batch_file_row(const pq_batch *batch, int64_t row) { return batch->first_row + batch->index(row); }

int32_t pq_batch_column(const pq_batch *batch, const char *name) {
    pq_error error;
    return pq::guard(&error, int32_t{PQ_NO_COLUMN}, [&] { return batch->rows->schema()->GetFieldIndex(name); });
}

bool pq_batch_reals(const pq_batch *batch, int32_t column, double *values, uint8_t *states, pq_error *error) {
    return pq::guard(error, false, [&] {
        const arrow::Array &array = column_of(*batch, column);
        const double nothing = std::numeric_limits<double>::quiet_NaN();
        bool nulls = array.null_count() > 0;
        if (is_all_null(array)) {
            std::fill_n(values, batch->count(), nothing);
            if (states) std::fill_n(states, batch->count(), uint8_t(EXACT_MISSING));
            return true;
        }
        if (array.type_id() == arrow::Type::DOUBLE && !nulls && !batch->selected) {
            const double *from = static_cast<const arrow::DoubleArray &>(array).raw_values();
            std::memcpy(values, from, batch->count() * sizeof(double));
            if (states) std::memset(states, EXACT_VALUE, batch->count());
            return true;
        }
        auto copy = [&](auto value_at) {
            for_each_row(*batch, [&](int64_t row, int64_t index) {
                const bool present = !nulls || array.IsValid(index);
                values[row] = present ? static_cast<double>(value_at(index)) : nothing;
                if (states) states[row] = present ? EXACT_VALUE : EXACT_MISSING;
            });
        };
        if (with_numbers(array, copy) || with_decimals(array, copy)) return true;
        std::vector<uint8_t> found(batch->count());
        const bool are_texts = parse_texts(*batch, column, values, found.data(), nothing,
            [](std::string_view text, double *value) { return exact_number(text.data(), text.size(), value); });
        if (!are_texts) refuse(array, "numbers");
        for (size_t row = 0; row < found.size(); row++) {
            if (states) states[row] = found[row];
            else if (found[row] > EXACT_MISSING) refuse_value(*batch, column, int64_t(row), "number");
        }
        return true;
    });
}

bool pq_batch_labels(const pq_batch *batch, int32_t column, int8_t *values, uint8_t *states, pq_error *error) {
    return pq::guard(error, false, [&] {
        const arrow::Array &array = column_of(*batch, column);
        if (is_all_null(array)) {
            std::fill_n(values, batch->count(), int8_t{-1});
            std::fill_n(states, batch->count(), uint8_t(EXACT_MISSING));
            return true;
        }
        auto copy = [&](auto value_at) {
            for_each_row(*batch, [&](int64_t row, int64_t index) {
                const double value = array.IsNull(index) ? std::nan("") : static_cast<double>(value_at(index));
                values[row] = std::isnan(value) ? -1 : value != 0;
                states[row] = std::isnan(value) ? EXACT_MISSING : EXACT_VALUE;
            });
        };
        if (with_numbers(array, copy) || with_decimals(array, copy)) return true;
        const bool are_texts = parse_texts(*batch, column, values, states, int8_t{-1},
            [](std::string_view text, int8_t *value) {
                int meaning = 0;
                const int found = exact_boolean(text.data(), text.size(), &meaning);
                *value = int8_t(meaning);
                return found;
            });
        if (!are_texts) refuse(array, "labels");
        return true;
    });
}

void pq_batch_describe(const pq_batch *batch, int32_t column, int64_t row, char *text, size_t capacity) {
    pq_error error;
    pq::guard(&error, false, [&] {
        std::string shown = description(*batch, column, row);
        size_t length = std::min(shown.size(), capacity - 1);
        // Not in the middle of a character.
        while (length > 0 && length < shown.size() && (shown[length] & 0xC0) == 0x80) length--;
        std::memcpy(text, shown.data(), length);
        text[length] = 0;
        return true;
    });
    if (error.kind != PQ_NONE) text[0] = 0;
}

bool pq_batch_integers(
    const pq_batch *batch, int32_t column, int64_t *values, uint8_t *valid, bool *has_nulls, pq_error *error) {
    return pq::guard(error, false, [&] {
        const arrow::Array &array = column_of(*batch, column);
        bool nulls = array.null_count() > 0;
        *has_nulls = nulls;
        auto copy = [&](auto value_at) {
            for_each_row(*batch, [&](int64_t row, int64_t index) {
                bool present = !nulls || array.IsValid(index);
                valid[row] = present;
                values[row] = present ? whole(value_at(index), batch->first_row + index) : 0;
            });
        };
        if (!with_numbers(array, copy) && !with_decimals(array, copy)) refuse(array, "integers");
        return true;
    });
}

bool pq_batch_timestamps(
    const pq_batch *batch, int32_t column, const exact_zone *zone, int64_t *values, uint8_t *states,
    pq_error *error) {
    return pq::guard(error, false, [&] {
        const arrow::Array &array = column_of(*batch, column);
        bool nulls = array.null_count() > 0;
        auto copy = [&](auto read) {
            for_each_row(*batch, [&](int64_t row, int64_t index) {
                values[row] = 0;
                states[row] = uint8_t(nulls && array.IsNull(index) ? EXACT_MISSING : read(index, &values[row]));
            });
        };
        auto copy_units = [&](auto value_at, int64_t factor, int64_t divisor, const exact_zone *local) {
            copy([&](int64_t index, int64_t *value) -> int {
                const int64_t count = value_at(index);
                if (divisor > 1) *value = floor_divide(count, divisor);
                else if (__builtin_mul_overflow(count, factor, value)) return EXACT_OUT_OF_RANGE;
                if (local) *value = exact_local_time(local, *value);
                return EXACT_VALUE;
            });
        };
        if (is_all_null(array)) {
            copy([](int64_t, int64_t *) -> int { return EXACT_MISSING; });
            return true;
        }
        constexpr int64_t day = 86'400'000;
        switch (array.type_id()) {
        case arrow::Type::TIMESTAMP: {
            const auto &type = static_cast<const arrow::TimestampType &>(*array.type());
            const exact_zone *local = type.timezone().empty() ? zone : nullptr;
            Typed<arrow::TimestampArray> times{static_cast<const arrow::TimestampArray &>(array)};
            switch (type.unit()) {
            case arrow::TimeUnit::SECOND: copy_units(times, 1000, 1, local); break;
            case arrow::TimeUnit::MILLI: copy_units(times, 1, 1, local); break;
            case arrow::TimeUnit::MICRO: copy_units(times, 1, 1000, local); break;
            case arrow::TimeUnit::NANO: copy_units(times, 1, 1'000'000, local); break;
            }
            return true;
        }
        case arrow::Type::DATE32:
            copy_units(Typed<arrow::Date32Array>{static_cast<const arrow::Date32Array &>(array)}, day, 1, zone);
            return true;
        case arrow::Type::DATE64:
            copy_units(Typed<arrow::Date64Array>{static_cast<const arrow::Date64Array &>(array)}, 1, 1, zone);
            return true;
        default: break;
        }
        auto copy_epochs = [&](auto value_at) {
            copy([&](int64_t index, int64_t *value) -> int {
                const auto count = value_at(index);
                if constexpr (std::is_floating_point_v<decltype(count)>) {
                    return std::isnan(count) ? EXACT_MISSING : exact_epoch_real(count, value);
                } else {
                    return exact_epoch(static_cast<int64_t>(count), value);
                }
            });
        };
        if (array.type_id() != arrow::Type::BOOL && (with_numbers(array, copy_epochs) || with_decimals(array, copy_epochs))) {
            return true;
        }
        const bool are_texts = parse_texts(*batch, column, values, states, int64_t{0},
            [&](std::string_view text, int64_t *value) { return exact_time(text.data(), text.size(), zone, value); });
        if (!are_texts) refuse(array, "times");
        return true;
    });
}
