// Which row groups can hold one of some texts: by statistics, then by Bloom filter. A wrong "no" would lose rows, so whatever
// is not understood allows.
#include <algorithm>
#include <charconv>
#include <optional>

#include <parquet/bloom_filter.h>
#include <parquet/bloom_filter_reader.h>
#include <parquet/statistics.h>
#include <parquet/types.h>

#include "reader.h"

namespace {

enum class Form { text, signed_integer, unsigned_integer, other };

Form form_of(const parquet::ColumnDescriptor &column) {
    const auto &logical = column.logical_type();
    bool plain = !logical || logical->is_none() || logical->is_invalid();
    switch (column.physical_type()) {
    case parquet::Type::BYTE_ARRAY:
        return plain || logical->is_string() || logical->is_enum() ? Form::text : Form::other;
    case parquet::Type::INT32:
    case parquet::Type::INT64:
        if (plain) return Form::signed_integer;
        if (!logical->is_int()) return Form::other;
        return static_cast<const parquet::IntLogicalType &>(*logical).is_signed() ? Form::signed_integer
                                                                                  : Form::unsigned_integer;
    default:
        return Form::other;
    }
}

/// The integer whose decimal form is `text`, and no other text: `07` is nobody.
template <typename Integer> std::optional<Integer> exact_integer(std::string_view text) {
    Integer value{};
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
    char printed[24];
    auto [printed_end, ignored] = std::to_chars(printed, printed + sizeof printed, value);
    if (std::string_view(printed, printed_end - printed) != text) return std::nullopt;
    return value;
}

template <typename Type, typename Compared>
bool within(const parquet::Statistics &statistics, const pq_texts &texts) {
    const auto &typed = static_cast<const parquet::TypedStatistics<Type> &>(statistics);
    using Stored = std::make_unsigned_t<typename Type::c_type>;
    // Unsigned columns store their bits in a signed type.
    auto widen = [](typename Type::c_type value) {
        if constexpr (std::is_signed_v<Compared>) return static_cast<Compared>(value);
        else return static_cast<Compared>(static_cast<Stored>(value));
    };
    return std::any_of(texts.sorted.begin(), texts.sorted.end(), [&](std::string_view text) {
        auto wanted = exact_integer<Compared>(text);
        return wanted && widen(typed.min()) <= *wanted && *wanted <= widen(typed.max());
    });
}

bool statistics_allow(const parquet::Statistics &statistics, Form form, const pq_texts &texts) {
    bool wide = statistics.physical_type() == parquet::Type::INT64;
    switch (form) {
    case Form::text: {
        const auto &typed = static_cast<const parquet::TypedStatistics<parquet::ByteArrayType> &>(statistics);
        // Compares bytes without sign, as the format orders texts.
        std::string_view least(typed.min()), greatest(typed.max());
        auto first = std::lower_bound(texts.sorted.begin(), texts.sorted.end(), least);
        return first != texts.sorted.end() && *first <= greatest;
    }
    case Form::signed_integer:
        return wide ? within<parquet::Int64Type, int64_t>(statistics, texts)
                    : within<parquet::Int32Type, int64_t>(statistics, texts);
    case Form::unsigned_integer:
        return wide ? within<parquet::Int64Type, uint64_t>(statistics, texts)
                    : within<parquet::Int32Type, uint64_t>(statistics, texts);
    case Form::other:
        return true;
    }
    return true;
}

/// The hash that a writer put into the filter for this text; none when no value of the column has it.
std::optional<uint64_t> hash_of(
    const parquet::BloomFilter &filter, Form form, parquet::Type::type physical, std::string_view text) {
    if (form == Form::text) {
        parquet::ByteArray bytes(text);
        return filter.Hash(&bytes);
    }
    std::optional<int64_t> value;
    if (form == Form::signed_integer) {
        value = exact_integer<int64_t>(text);
    } else if (auto wide = exact_integer<uint64_t>(text)) {
        value = static_cast<int64_t>(*wide);
    }
    if (!value) return std::nullopt;
    return physical == parquet::Type::INT64 ? filter.Hash(*value) : filter.Hash(static_cast<int32_t>(*value));
}

}  // namespace

bool pq_statistics_allow(const pq_file *file, int32_t group, int32_t column, const pq_texts *texts) {
    pq_error error;
    return pq::guard(&error, true, [&] {
        int leaf = file->leaves.at(column);
        auto chunk = file->metadata->RowGroup(group)->ColumnChunk(leaf);
        if (!chunk->is_stats_set()) return true;
        auto statistics = chunk->statistics();
        if (!statistics || !statistics->HasMinMax()) return true;
        Form form = form_of(*file->metadata->schema()->Column(leaf));
        return statistics_allow(*statistics, form, *texts);
    });
}

bool pq_has_filter(const pq_file *file, int32_t group, int32_t column) {
    pq_error error;
    return pq::guard(&error, false, [&] {
        return file->metadata->RowGroup(group)->ColumnChunk(file->leaves.at(column))->bloom_filter_offset()
            .has_value();
    });
}

bool pq_fetch_filters(pq_file *file, const int32_t *groups, int32_t count, int32_t column, pq_error *error) {
    return pq::guard_reading(*file->store, error, false, [&] {
        std::vector<pq::Range> ranges;
        for (int32_t i = 0; i < count; i++) {
            auto chunk = file->metadata->RowGroup(groups[i])->ColumnChunk(file->leaves.at(column));
            auto offset = chunk->bloom_filter_offset();
            auto length = chunk->bloom_filter_length();
            // Old writers give no length; the reader then asks for the header and the bits itself.
            if (offset && length) ranges.push_back({*offset, *length});
        }
        file->store->fetch(std::move(ranges));
        return true;
    });
}

int32_t pq_filter_allows(pq_file *file, int32_t group, int32_t column, const pq_texts *texts, pq_error *error) {
    return pq::guard_reading(*file->store, error, int32_t{-1}, [&]() -> int32_t {
        int leaf = file->leaves.at(column);
        auto groups = file->reader->parquet_reader()->GetBloomFilterReader().RowGroup(group);
        auto filter = groups ? groups->GetColumnBloomFilter(leaf) : nullptr;
        if (!filter) return 1;
        const parquet::ColumnDescriptor &descriptor = *file->metadata->schema()->Column(leaf);
        Form form = form_of(descriptor);
        if (form == Form::other) return 1;
        return std::any_of(texts->sorted.begin(), texts->sorted.end(), [&](std::string_view text) {
            auto hash = hash_of(*filter, form, descriptor.physical_type(), text);
            return hash && filter->FindHash(*hash);
        });
    });
}
