// The values of a batch, converted into arrays that the caller owns.
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include <arrow/array.h>
#include <arrow/type_traits.h>
#include <arrow/util/decimal.h>
#include <arrow/util/float16.h>

#include "reader.h"

namespace {

const arrow::Array &column_of(const pq_batch &batch, int32_t column) { return *batch.rows->column(column); }

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

int64_t multiply(int64_t value, int64_t factor, int64_t row) {
    int64_t product;
    if (__builtin_mul_overflow(value, factor, &product)) {
        throw pq::Failure(PQ_VALUE, "a time that milliseconds of 64 bits cannot hold", row);
    }
    return product;
}

}  // namespace

void pq_batch_close(pq_batch *batch) { delete batch; }

int64_t pq_batch_count(const pq_batch *batch) { return batch->count(); }

int64_t pq_batch_file_row(const pq_batch *batch, int64_t row) { return batch->first_row + batch->index(row); }

int32_t pq_batch_column(const pq_batch *batch, const char *name) {
    pq_error error;
    return pq::guard(&error, int32_t{PQ_NO_COLUMN}, [&] { return batch->rows->schema()->GetFieldIndex(name); });
}

bool pq_batch_reals(const pq_batch *batch, int32_t column, double *values, pq_error *error) {
    return pq::guard(error, false, [&] {
        const arrow::Array &array = column_of(*batch, column);
        const double nothing = std::numeric_limits<double>::quiet_NaN();
        bool nulls = array.null_count() > 0;
        if (array.type_id() == arrow::Type::DOUBLE && !nulls && !batch->selected) {
            const double *from = static_cast<const arrow::DoubleArray &>(array).raw_values();
            std::memcpy(values, from, batch->count() * sizeof(double));
            return true;
        }
        auto copy = [&](auto value_at) {
            for_each_row(*batch, [&](int64_t row, int64_t index) {
                values[row] = nulls && array.IsNull(index) ? nothing : static_cast<double>(value_at(index));
            });
        };
        if (!with_numbers(array, copy) && !with_decimals(array, copy)) refuse(array, "numbers");
        return true;
    });
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

bool pq_batch_timestamps(const pq_batch *batch, int32_t column, int64_t *values, pq_error *error) {
    return pq::guard(error, false, [&] {
        const arrow::Array &array = column_of(*batch, column);
        bool nulls = array.null_count() > 0;
        auto copy = [&](auto value_at, int64_t factor, int64_t divisor) {
            for_each_row(*batch, [&](int64_t row, int64_t index) {
                int64_t file_row = batch->first_row + index;
                if (nulls && array.IsNull(index)) throw pq::Failure(PQ_VALUE, "there is no time", file_row);
                int64_t value = value_at(index);
                values[row] = divisor > 1 ? floor_divide(value, divisor) : multiply(value, factor, file_row);
            });
        };
        constexpr int64_t day = 86'400'000;
        switch (array.type_id()) {
        case arrow::Type::TIMESTAMP: {
            Typed<arrow::TimestampArray> times{static_cast<const arrow::TimestampArray &>(array)};
            switch (static_cast<const arrow::TimestampType &>(*array.type()).unit()) {
            case arrow::TimeUnit::SECOND: copy(times, 1000, 1); break;
            case arrow::TimeUnit::MILLI: copy(times, 1, 1); break;
            case arrow::TimeUnit::MICRO: copy(times, 1, 1000); break;
            case arrow::TimeUnit::NANO: copy(times, 1, 1'000'000); break;
            }
            return true;
        }
        case arrow::Type::DATE32:
            copy(Typed<arrow::Date32Array>{static_cast<const arrow::Date32Array &>(array)}, day, 1);
            return true;
        case arrow::Type::DATE64:
            copy(Typed<arrow::Date64Array>{static_cast<const arrow::Date64Array &>(array)}, 1, 1);
            return true;
        default:
            if (!arrow::is_integer(array.type_id())) refuse(array, "times");
            with_numbers(array, [&](auto value_at) {
                copy([&](int64_t index) { return whole(value_at(index), batch->first_row + index); }, 1, 1);
            });
            return true;
        }
    });
}
