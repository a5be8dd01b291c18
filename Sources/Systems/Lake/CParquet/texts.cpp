// The texts of a batch: plain, large, views, dictionaries; and integers in decimal form.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <arrow/array.h>
#include <arrow/type_traits.h>

#include "reader.h"

namespace {

/// Integers in decimal form, one at a time: the view is valid until the next call.
template <typename ArrayType> struct Decimal {
    const ArrayType &array;
    char *digits;
    std::string_view operator()(int64_t index) const {
        auto [end, ignored] = std::to_chars(digits, digits + 24, array.GetView(index));
        return {digits, static_cast<size_t>(end - digits)};
    }
};

/// Numbers that are whole, as their digits; another one is refused, but for NaN, which stands for no text: it is empty.
/// The view is valid until the next call.
template <typename ArrayType> struct Whole {
    const ArrayType &array;
    char *digits;
    std::string_view operator()(int64_t index) const {
        const double value = array.GetView(index);
        const size_t length = exact_whole_text(value, digits);
        if (value != value) return {};
        if (length == 0) throw pq::Failure(PQ_VALUE, std::to_string(value) + " is no whole number", index);
        return {digits, length};
    }
};

/// Decimals likewise: an id that is NUMBER(38, 0) in a data base.
template <typename ArrayType> struct WholeDecimal {
    const ArrayType &array;
    std::string &text;
    std::string_view operator()(int64_t index) const {
        text = array.FormatValue(index);
        if (const size_t point = text.find('.'); point != std::string::npos) {
            if (text.find_first_not_of('0', point + 1) != std::string::npos) {
                throw pq::Failure(PQ_VALUE, text + " is no whole number", index);
            }
            text.resize(point);
        }
        return text;
    }
};

/// Sixteen bytes as a UUID, other binaries of one size as they are.
struct FixedBinary {
    const arrow::FixedSizeBinaryArray &array;
    char *text;
    std::string_view operator()(int64_t index) const {
        if (array.byte_width() != 16) return array.GetView(index);
        exact_uuid_text(array.GetValue(index), text);
        return {text, EXACT_UUID_BYTES};
    }
};

template <typename ArrayType, typename Body> bool with_views(const arrow::Array &array, Body &body) {
    const auto &typed = static_cast<const ArrayType &>(array);
    body([&typed](int64_t index) -> std::string_view { return typed.GetView(index); });
    return true;
}

template <typename ArrayType, typename Body> bool with_decimal_forms(const arrow::Array &array, Body &body) {
    char digits[24];
    body(Decimal<ArrayType>{static_cast<const ArrayType &>(array), digits});
    return true;
}

template <typename ArrayType, typename Body> bool with_whole_numbers(const arrow::Array &array, Body &body) {
    char digits[EXACT_WHOLE_BYTES];
    body(Whole<ArrayType>{static_cast<const ArrayType &>(array), digits});
    return true;
}

template <typename ArrayType, typename Body> bool with_whole_decimals(const arrow::Array &array, Body &body) {
    std::string text;
    body(WholeDecimal<ArrayType>{static_cast<const ArrayType &>(array), text});
    return true;
}

/// Calls `body` with a function from the index of a valid value to its text; false when the type holds no texts.
template <typename Body> bool with_written_texts(const arrow::Array &array, Body &body) {
    switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY: return with_views<arrow::BinaryArray>(array, body);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY: return with_views<arrow::LargeBinaryArray>(array, body);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW: return with_views<arrow::BinaryViewArray>(array, body);
    default: return false;
    }
}

/// The same for what is written as a text besides: numbers, UUIDs.
template <typename Body> bool with_plain_texts(const arrow::Array &array, Body body) {
    switch (array.type_id()) {
    case arrow::Type::FLOAT: return with_whole_numbers<arrow::FloatArray>(array, body);
    case arrow::Type::DOUBLE: return with_whole_numbers<arrow::DoubleArray>(array, body);
    case arrow::Type::DECIMAL32: return with_whole_decimals<arrow::Decimal32Array>(array, body);
    case arrow::Type::DECIMAL64: return with_whole_decimals<arrow::Decimal64Array>(array, body);
    case arrow::Type::DECIMAL128: return with_whole_decimals<arrow::Decimal128Array>(array, body);
    case arrow::Type::DECIMAL256: return with_whole_decimals<arrow::Decimal256Array>(array, body);
    case arrow::Type::FIXED_SIZE_BINARY: {
        char text[EXACT_UUID_BYTES];
        body(FixedBinary{static_cast<const arrow::FixedSizeBinaryArray &>(array), text});
        return true;
    }
    case arrow::Type::INT8: return with_decimal_forms<arrow::Int8Array>(array, body);
    case arrow::Type::INT16: return with_decimal_forms<arrow::Int16Array>(array, body);
    case arrow::Type::INT32: return with_decimal_forms<arrow::Int32Array>(array, body);
    case arrow::Type::INT64: return with_decimal_forms<arrow::Int64Array>(array, body);
    case arrow::Type::UINT8: return with_decimal_forms<arrow::UInt8Array>(array, body);
    case arrow::Type::UINT16: return with_decimal_forms<arrow::UInt16Array>(array, body);
    case arrow::Type::UINT32: return with_decimal_forms<arrow::UInt32Array>(array, body);
    case arrow::Type::UINT64: return with_decimal_forms<arrow::UInt64Array>(array, body);
    default: return with_written_texts(array, body);
    }
}

/// A text, or that there is none.
struct MaybeText {
    bool present;
    std::string_view text;
};

/// Calls `body` with a function from any index to its text; false when the type has no such form.
///
/// - only_written: numbers have none.
template <typename Body> bool with_texts(const arrow::Array &column, bool only_written, Body body) {
    const arrow::Array &array = pq::plain(column);
    const arrow::Array *values = &array;
    if (array.type_id() == arrow::Type::NA && !only_written) {
        body([](int64_t) -> MaybeText { return {false, {}}; });
        return true;
    }
    const arrow::DictionaryArray *dictionary = nullptr;
    if (array.type_id() == arrow::Type::DICTIONARY) {
        dictionary = static_cast<const arrow::DictionaryArray *>(&array);
        values = dictionary->dictionary().get();
    }
    bool nulls = array.null_count() > 0 || values->null_count() > 0;
    auto read = [&](auto text_at) {
        body([&](int64_t index) -> MaybeText {
            if (nulls && array.IsNull(index)) return {false, {}};
            if (dictionary) {
                index = dictionary->GetValueIndex(index);
                // The index comes from the file.
                if (index < 0 || index >= values->length()) {
                    throw pq::Failure(PQ_DAMAGED, "an index outside its dictionary");
                }
                if (nulls && values->IsNull(index)) return {false, {}};
            }
            return {true, text_at(index)};
        });
    };
    return only_written ? with_written_texts(*values, read) : with_plain_texts(*values, read);
}

template <typename Body> bool for_each(const pq_batch &batch, int32_t column, bool only_written, Body body) {
    return with_texts(*batch.rows->column(column), only_written, [&](auto text_at) {
        int64_t count = batch.count();
        for (int64_t row = 0; row < count; row++) {
            body(row, text_at(batch.index(row)));
        }
    });
}

template <typename Body> void for_each_text(const pq_batch &batch, int32_t column, Body body) {
    int64_t reached = 0;
    try {
        const bool known = for_each(batch, column, /*only_written=*/false, [&](int64_t row, MaybeText value) {
            body(row, value);
            reached = row + 1;
        });
        if (known) return;
    } catch (const pq::Failure &failure) {
        // Whoever refused the value knows where it stands in its array alone.
        if (failure.kind != PQ_VALUE) throw;
        throw pq::Failure(PQ_VALUE, failure.what(), batch.first_row + batch.index(reached));
    }
    throw pq::Failure(
        PQ_TYPE, "is of type " + batch.rows->column(column)->type()->ToString() + ", not text");
}

/// The array when its texts lie one after the other as the caller wants them; else null.
const arrow::BinaryArray *in_one_piece(const pq_batch &batch, int32_t column) {
    const arrow::Array &array = *batch.rows->column(column);
    bool plain = array.type_id() == arrow::Type::STRING || array.type_id() == arrow::Type::BINARY;
    if (!plain || batch.selected || array.null_count() > 0) return nullptr;
    return static_cast<const arrow::BinaryArray *>(&array);
}

/// The column as numbers of a dictionary's texts; null when it was not read so, or when the dictionary is so much longer
/// than the batch that looking at all of it is not worth it.
const arrow::DictionaryArray *coded(const pq_batch &batch, int32_t column) {
    const arrow::Array &array = pq::plain(*batch.rows->column(column));
    if (array.type_id() != arrow::Type::DICTIONARY) return nullptr;
    const auto &dictionary = static_cast<const arrow::DictionaryArray &>(array);
    const arrow::Array &texts = *dictionary.dictionary();
    bool plain = texts.type_id() == arrow::Type::STRING || texts.type_id() == arrow::Type::BINARY;
    bool usable = plain && texts.null_count() == 0 && dictionary.indices()->type_id() == arrow::Type::INT32;
    return usable && texts.length() <= 2 * batch.rows->num_rows() ? &dictionary : nullptr;
}

const arrow::BinaryArray &texts_of(const arrow::DictionaryArray &dictionary) {
    return static_cast<const arrow::BinaryArray &>(*dictionary.dictionary());
}

}  // namespace

bool pq_batch_codes(
    const pq_batch *batch, int32_t column, int32_t *codes, int64_t *text_count, int64_t *text_bytes,
    pq_error *error) {
    return pq::guard(error, false, [&] {
        *text_count = -1;
        const arrow::DictionaryArray *dictionary = coded(*batch, column);
        if (!dictionary) return true;
        const int64_t length = dictionary->dictionary()->length();
        const bool nulls = dictionary->null_count() > 0;
        const int32_t *indices = static_cast<const arrow::Int32Array &>(*dictionary->indices()).raw_values();
        const int64_t count = batch->count();
        for (int64_t row = 0; row < count; row++) {
            const int64_t index = batch->index(row);
            if (nulls && dictionary->IsNull(index)) {
                codes[row] = -1;
                continue;
            }
            // The index comes from the file.
            if (indices[index] < 0 || indices[index] >= length) {
                throw pq::Failure(PQ_DAMAGED, "an index outside its dictionary");
            }
            codes[row] = indices[index];
        }
        *text_count = length;
        *text_bytes = texts_of(*dictionary).total_values_length();
        return true;
    });
}

bool pq_batch_code_texts(
    const pq_batch *batch, int32_t column, int64_t *offsets, uint8_t *bytes, pq_error *error) {
    return pq::guard(error, false, [&] {
        const arrow::DictionaryArray *dictionary = coded(*batch, column);
        if (!dictionary) throw pq::Failure(PQ_TYPE, "was not read by number");
        const arrow::BinaryArray &texts = texts_of(*dictionary);
        const int64_t start = texts.value_offset(0);
        for (int64_t i = 0; i <= texts.length(); i++) offsets[i] = texts.value_offset(i) - start;
        if (offsets[texts.length()] > 0) {
            std::memcpy(bytes, texts.value_data()->data() + start, offsets[texts.length()]);
        }
        return true;
    });
}

bool pq::for_each_written_text(
    const pq_batch &batch, int32_t column, const std::function<void(int64_t, bool, std::string_view)> &body) {
    return for_each(batch, column, /*only_written=*/true, [&](int64_t row, MaybeText value) {
        body(row, value.present, value.text);
    });
}

bool pq_batch_is_text(const pq_batch *batch, int32_t column) {
    const arrow::DataType *type = batch->rows->column(column)->type().get();
    if (type->id() == arrow::Type::DICTIONARY) {
        type = static_cast<const arrow::DictionaryType *>(type)->value_type().get();
    }
    return arrow::is_base_binary_like(type->id()) || arrow::is_binary_view_like(type->id());
}

bool pq_batch_text_size(const pq_batch *batch, int32_t column, int64_t *size_bytes, pq_error *error) {
    return pq::guard(error, false, [&] {
        if (const arrow::BinaryArray *array = in_one_piece(*batch, column)) {
            *size_bytes = array->total_values_length();
            return true;
        }
        int64_t size = 0;
        for_each_text(*batch, column, [&](int64_t, MaybeText value) {
            size += static_cast<int64_t>(value.text.size());
        });
        *size_bytes = size;
        return true;
    });
}

bool pq_batch_texts(
    const pq_batch *batch, int32_t column, int64_t *offsets, uint8_t *bytes, uint8_t *valid, bool *has_nulls,
    pq_error *error) {
    return pq::guard(error, false, [&] {
        if (const arrow::BinaryArray *array = in_one_piece(*batch, column)) {
            int64_t start = array->value_offset(0);
            for (int64_t row = 0; row <= array->length(); row++) offsets[row] = array->value_offset(row) - start;
            if (offsets[array->length()] > 0) {
                std::memcpy(bytes, array->value_data()->data() + start, offsets[array->length()]);
            }
            std::memset(valid, 1, array->length());
            *has_nulls = false;
            return true;
        }
        int64_t end = 0;
        bool nulls = false;
        offsets[0] = 0;
        for_each_text(*batch, column, [&](int64_t row, MaybeText value) {
            valid[row] = value.present;
            nulls |= !value.present;
            if (!value.text.empty()) std::memcpy(bytes + end, value.text.data(), value.text.size());
            end += static_cast<int64_t>(value.text.size());
            offsets[row + 1] = end;
        });
        *has_nulls = nulls;
        return true;
    });
}

pq_texts *pq_texts_make(const char *bytes, const int64_t *ends, int64_t count, pq_error *error) {
    return pq::guard(error, static_cast<pq_texts *>(nullptr), [&] {
        auto texts = std::make_unique<pq_texts>();
        texts->bytes.assign(bytes, ends[count - 1]);
        std::string_view whole(texts->bytes);
        for (int64_t i = 0, start = 0; i < count; start = ends[i++]) {
            texts->all.insert(whole.substr(start, ends[i] - start));
        }
        texts->sorted.assign(texts->all.begin(), texts->all.end());
        std::sort(texts->sorted.begin(), texts->sorted.end());
        return texts.release();
    });
}

void pq_texts_close(pq_texts *texts) { delete texts; }

bool pq_batch_keep(pq_batch *batch, int32_t column, const pq_texts *texts, pq_error *error) {
    return pq::guard(error, false, [&] {
        std::vector<int32_t> kept;
        // Rows of one text mostly follow each other. A copy: a view of a number's digits is valid for one row only.
        std::string last;
        bool known = false, last_kept = false;
        for_each_text(*batch, column, [&](int64_t row, MaybeText value) {
            if (!value.present) return;
            if (!known || value.text != last) {
                last.assign(value.text);
                last_kept = texts->all.count(value.text) > 0;
                known = true;
            }
            if (last_kept) kept.push_back(static_cast<int32_t>(row));
        });
        batch->selection = std::move(kept);
        batch->selected = true;
        return true;
    });
}
