#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "csimdjson.h"
#include "exact.h"
#include "number_rewriting.h"

// simdjson's DOM and not its on-demand front end, because it checks the whole message: on-demand skips what
// is not asked for, and would take `{..., "note": tru}`. That costs some 50 ns of 340 a message. Fields are
// read straight off the tape, whose format simdjson documents (doc/tape.md).

namespace {

using simdjson::error_code;

constexpr double missing_number = std::numeric_limits<double>::quiet_NaN();

/// Texts are copied in steps of this many bytes; both ends have that much slack.
constexpr size_t copy_step = 32;

/// A number that is an id is written longer than it stands in the JSON: 1e15.
constexpr size_t longest_growth = size_t(CSIMD_TEXT_FIELDS) * size_t(EXACT_WHOLE_BYTES);

/// The number of the field called `key`, or CSIMD_NO_FIELD.
int field_named(const char *key, size_t length) {
    const auto is = [&](const char *name) { return std::memcmp(key, name, length) == 0; };
    switch (length) {
    case 6: return is("amount") ? CSIMD_AMOUNT : CSIMD_NO_FIELD;
    case 7:
        if (is("user_id")) return CSIMD_USER_ID;
        if (is("country")) return CSIMD_COUNTRY;
        return is("channel") ? CSIMD_CHANNEL : CSIMD_NO_FIELD;
    case 8:
        if (is("currency")) return CSIMD_CURRENCY;
        if (is("category")) return CSIMD_CATEGORY;
        return is("latitude") ? CSIMD_LATITUDE : CSIMD_NO_FIELD;
    case 9:
        if (is("timestamp")) return CSIMD_TIMESTAMP;
        if (is("device_id")) return CSIMD_DEVICE_ID;
        return is("longitude") ? CSIMD_LONGITUDE : CSIMD_NO_FIELD;
    case 11: return is("merchant_id") ? CSIMD_MERCHANT_ID : CSIMD_NO_FIELD;
    case 14: return is("transaction_id") ? CSIMD_TRANSACTION_ID : CSIMD_NO_FIELD;
    default: return CSIMD_NO_FIELD;
    }
}

int reason_for(error_code error) {
    switch (error) {
    case simdjson::UTF8_ERROR: return CSIMD_INVALID_UTF8;
    case simdjson::DEPTH_ERROR: return CSIMD_TOO_DEEP;
    case simdjson::CAPACITY: return CSIMD_TOO_LARGE;
    default: return CSIMD_NOT_JSON;
    }
}

/// A read-only view of simdjson's tape.
struct Tape {
    const uint64_t *words;
    const uint8_t *strings;

    char type(size_t at) const { return char(words[at] >> 56); }
    /// Where the value after the one at `at` starts.
    size_t after(size_t at) const {
        switch (type(at)) {
        case '{':
        case '[': return uint32_t(words[at]);
        case 'l':
        case 'u':
        case 'd': return at + 2;
        default: return at + 1;
        }
    }
    std::string_view text(size_t at) const {
        const uint8_t *start = strings + (words[at] & 0x00FFFFFFFFFFFFFFu);
        uint32_t length;
        std::memcpy(&length, start, sizeof length);
        return {reinterpret_cast<const char *>(start) + sizeof length, length};
    }
    bool number(size_t at, double *value) const {
        switch (type(at)) {
        case 'd': std::memcpy(value, &words[at + 1], sizeof *value); return true;
        case 'l': *value = double(int64_t(words[at + 1])); return true;
        case 'u': *value = double(words[at + 1]); return true;
        default: return false;
        }
    }
};

struct Row {
    int64_t timestamp;
    double amount, latitude, longitude;
    csimd_text texts[CSIMD_TEXT_FIELDS];
    uint64_t hashes[CSIMD_TEXT_FIELDS];
};

/// What is wrong with a message: a reason and a field, or nothing.
struct Verdict {
    int reason = -1;
    int field = CSIMD_NO_FIELD;
    bool accepted() const { return reason < 0; }
};

/// What the readers of values in C call it, as a reason of ours.
int reason_for_value(int found, int malformed) {
    switch (found) {
    case EXACT_MISSING: return CSIMD_MISSING_FIELD;
    case EXACT_NOT_FINITE: return CSIMD_NOT_FINITE;
    default: return malformed;
    }
}

}  // namespace

struct csimd_parser {
    /// Of times that do not say their zone; empty: they are refused.
    std::vector<int64_t> zone_starts, zone_offsets;
    simdjson::dom::parser json;
    std::vector<char> padded = std::vector<char>(CSIMD_MAXIMUM_MESSAGE_BYTES + simdjson::SIMDJSON_PADDING);
    std::string rewritten;

    std::vector<int64_t> timestamps;
    std::vector<double> amounts, latitudes, longitudes;
    std::vector<int32_t> messages;
    std::vector<csimd_text> texts;
    std::vector<uint64_t> hashes;
    std::vector<csimd_rejection> rejections;
    std::vector<uint8_t> arena;
    size_t rows = 0;
    size_t arena_used = 0;

    // Per message.
    Tape tape{};
    size_t places[CSIMD_FIELDS];    // on the tape; 0: absent
    bool holds_escapes = false;     // a text may then hold a NUL
    bool numbers_rewritten = false; // `[]` then stands for a number beyond the range of a double

    csimd_columns parse(const csimd_message *batch, size_t count, uint32_t arena_base);

private:
    Verdict open(csimd_message message);
    void find_fields();
    Verdict read(Row &row, uint32_t arena_base);
    Verdict read_text(int field, bool required, Row &row, uint32_t arena_base);
    Verdict read_number(int field, bool required, double *value);
    Verdict read_timestamp(int64_t *value);
    void reserve(size_t count);
    void describe(int field, csimd_rejection &rejection) const;
    void append(const Row &row, int32_t message);
};

/// Parses the message onto the tape.
Verdict csimd_parser::open(csimd_message message) {
    // A byte order mark is no part of the JSON; a file's first line may have one.
    if (message.length >= 3 && std::memcmp(message.bytes, "\xEF\xBB\xBF", 3) == 0) {
        message.bytes = static_cast<const char *>(message.bytes) + 3;
        message.length -= 3;
    }
    if (message.length > CSIMD_MAXIMUM_MESSAGE_BYTES) return {CSIMD_TOO_LARGE};
    if (message.length == 0) return {CSIMD_NOT_JSON};
    std::memcpy(padded.data(), message.bytes, message.length);
    numbers_rewritten = false;
    auto error = json.parse(padded.data(), message.length, false).error();
    const bool may_be_numbers = error == simdjson::NUMBER_ERROR || error == simdjson::TAPE_ERROR;
    if (may_be_numbers && rewrite_numbers({padded.data(), message.length}, rewritten)) {
        numbers_rewritten = true;
        rewritten.reserve(rewritten.size() + simdjson::SIMDJSON_PADDING);
        error = json.parse(rewritten.data(), rewritten.size(), false).error();
    }
    if (error == simdjson::MEMALLOC) std::abort();  // no fault of the message
    if (error) return {reason_for(error)};
    tape = {json.doc.tape.get(), json.doc.string_buf.get()};
    if (tape.type(1) != '{') return {CSIMD_NOT_AN_OBJECT};
    holds_escapes = std::memchr(padded.data(), '\\', message.length) != nullptr;
    return {};
}

/// Notes where the fields stand. The last of several with one name wins.
void csimd_parser::find_fields() {
    std::memset(places, 0, sizeof places);
    for (size_t at = 2; tape.type(at) != '}';) {
        const std::string_view key = tape.text(at);
        const int field = field_named(key.data(), key.size());
        if (field != CSIMD_NO_FIELD) places[field] = at + 1;
        at = tape.after(at + 1);
    }
}

Verdict csimd_parser::read_text(int field, bool required, Row &row, uint32_t arena_base) {
    csimd_text &place = row.texts[field];
    const size_t at = places[field];
    const char type = at == 0 ? 'n' : tape.type(at);
    char digits[copy_step] = {};
    std::string_view text;
    switch (type) {
    case 'n': break;
    case '"': text = tape.text(at); break;
    // A number is the text of its digits, if it is whole: ids are numbers with many.
    case 'l': text = {digits, exact_integer_text(int64_t(tape.words[at + 1]), digits)}; break;
    case 'u': text = {digits, exact_unsigned_text(tape.words[at + 1], digits)}; break;
    case 'd': {
        double number = 0;
        tape.number(at, &number);
        text = {digits, exact_whole_text(number, digits)};
        if (text.empty()) return {CSIMD_WRONG_TYPE, field};
        break;
    }
    default: return {CSIMD_WRONG_TYPE, field};
    }
    const bool has_length = !text.empty() && text.size() <= CSIMD_MAXIMUM_ID_BYTES;
    if (required && type != 'n' && !has_length) {
        return {field == CSIMD_USER_ID ? CSIMD_USER_ID_LENGTH : CSIMD_TEXT_LENGTH, field};
    }
    if (exact_is_missing(text.data(), text.size())) {
        if (required) return {CSIMD_MISSING_FIELD, field};
        place = {0, CSIMD_MISSING};
        row.hashes[field] = 0;
        return {};
    }
    if (text.size() > CSIMD_MAXIMUM_TEXT_BYTES) return {CSIMD_TEXT_LENGTH, field};
    // Only an escape can bring one in. Half a surrogate pair cannot come in at all: simdjson refuses that.
    if (holds_escapes && std::memchr(text.data(), 0, text.size()) != nullptr) {
        return {CSIMD_EMBEDDED_NUL, field};
    }
    uint8_t *target = arena.data() + arena_used;
    for (size_t done = 0; done < text.size(); done += copy_step) {
        std::memcpy(target + done, text.data() + done, copy_step);
    }
    place = {uint32_t(arena_base + arena_used), uint32_t(text.size())};
    row.hashes[field] = csimd_text_hash(target, text.size());
    arena_used += text.size();
    return {};
}

Verdict csimd_parser::read_number(int field, bool required, double *value) {
    *value = missing_number;
    const size_t at = places[field];
    int found = EXACT_MISSING;
    if (at != 0 && tape.type(at) != 'n') {
        if (tape.number(at, value)) return {};
        if (tape.type(at) != '"') {
            const bool is_too_large = numbers_rewritten && tape.type(at) == '[' && tape.after(at) == at + 2;
            return {is_too_large ? CSIMD_NOT_FINITE : CSIMD_WRONG_TYPE, field};
        }
        const std::string_view text = tape.text(at);
        found = exact_number(text.data(), text.size(), value);
    }
    if (found == EXACT_VALUE || (found == EXACT_MISSING && !required)) return {};
    return {reason_for_value(found, CSIMD_WRONG_TYPE), field};
}

Verdict csimd_parser::read_timestamp(int64_t *value) {
    const size_t at = places[CSIMD_TIMESTAMP];
    const char type = at == 0 ? 'n' : tape.type(at);
    int found;
    double number;
    switch (type) {
    case 'l': found = exact_epoch(int64_t(tape.words[at + 1]), value); break;
    case '"': {
        const std::string_view text = tape.text(at);
        const exact_zone zone{zone_starts.data(), zone_offsets.data(), zone_starts.size()};
        found = exact_time(text.data(), text.size(), &zone, value);
        break;
    }
    default: {
        const Verdict verdict = read_number(CSIMD_TIMESTAMP, true, &number);
        if (!verdict.accepted()) return verdict;
        found = exact_epoch_real(number, value);
    }
    }
    if (found != EXACT_VALUE) return {reason_for_value(found, CSIMD_BAD_TIMESTAMP), CSIMD_TIMESTAMP};
    if (*value < EXACT_EARLIEST_MILLISECONDS || *value >= EXACT_LATEST_MILLISECONDS) {
        return {CSIMD_BAD_TIMESTAMP, CSIMD_TIMESTAMP};
    }
    return {};
}

/// Notes the value at fault, its beginning if it is long, for whoever has to find it.
void csimd_parser::describe(int field, csimd_rejection &rejection) const {
    rejection.value_length = 0;
    const size_t at = field == CSIMD_NO_FIELD ? 0 : places[field];
    if (at == 0) return;
    const auto note = [&](std::string_view text) {
        size_t length = std::min(text.size(), sizeof rejection.value);
        // Not in the middle of a character.
        while (length < text.size() && length > 0 && (text[length] & 0xC0) == 0x80) --length;
        std::memcpy(rejection.value, text.data(), length);
        rejection.value_length = uint8_t(length);
    };
    char digits[32];
    switch (tape.type(at)) {
    case '"': note(tape.text(at)); break;
    case 'l': note({digits, exact_integer_text(int64_t(tape.words[at + 1]), digits)}); break;
    case 'u': note({digits, exact_unsigned_text(tape.words[at + 1], digits)}); break;
    case 'd': {
        double number = 0;
        tape.number(at, &number);
        note({digits, size_t(std::to_chars(digits, digits + sizeof digits, number).ptr - digits)});
        break;
    }
    case 't': note("true"); break;
    case 'f': note("false"); break;
    case '[': note(numbers_rewritten ? "a number or a list" : "a list"); break;
    case '{': note("an object"); break;
    default: break;
    }
}

/// Checks the fields in a fixed order, so that the first fault named is the same for equal messages.
Verdict csimd_parser::read(Row &row, uint32_t arena_base) {
    Verdict verdict;
    for (int field : {CSIMD_TRANSACTION_ID, CSIMD_USER_ID}) {
        if (!(verdict = read_text(field, true, row, arena_base)).accepted()) return verdict;
    }
    if (!(verdict = read_number(CSIMD_AMOUNT, true, &row.amount)).accepted()) return verdict;
    if (!(verdict = read_timestamp(&row.timestamp)).accepted()) return verdict;
    for (int field = CSIMD_CURRENCY; field < CSIMD_TEXT_FIELDS; ++field) {
        if (!(verdict = read_text(field, false, row, arena_base)).accepted()) return verdict;
    }
    if (!(verdict = read_number(CSIMD_LATITUDE, false, &row.latitude)).accepted()) return verdict;
    if (std::fabs(row.latitude) > 90) return {CSIMD_OUT_OF_RANGE, CSIMD_LATITUDE};
    if (!(verdict = read_number(CSIMD_LONGITUDE, false, &row.longitude)).accepted()) return verdict;
    if (std::fabs(row.longitude) > 180) return {CSIMD_OUT_OF_RANGE, CSIMD_LONGITUDE};
    return {};
}

/// Makes room for `count` rows; vectors only grow, so a steady stream allocates nothing.
void csimd_parser::reserve(size_t count) {
    if (timestamps.size() >= count) return;
    timestamps.resize(count);
    amounts.resize(count);
    latitudes.resize(count);
    longitudes.resize(count);
    messages.resize(count);
    texts.resize(count * CSIMD_TEXT_FIELDS);
    hashes.resize(count * CSIMD_TEXT_FIELDS);
}

void csimd_parser::append(const Row &row, int32_t message) {
    timestamps[rows] = row.timestamp;
    amounts[rows] = row.amount;
    latitudes[rows] = row.latitude;
    longitudes[rows] = row.longitude;
    messages[rows] = message;
    std::memcpy(&texts[rows * CSIMD_TEXT_FIELDS], row.texts, sizeof row.texts);
    std::memcpy(&hashes[rows * CSIMD_TEXT_FIELDS], row.hashes, sizeof row.hashes);
    ++rows;
}

csimd_columns csimd_parser::parse(const csimd_message *batch, size_t count, uint32_t arena_base) {
    rows = 0;
    arena_used = 0;
    rejections.clear();
    reserve(count);
    for (size_t i = 0; i < count; ++i) {
        const size_t arena_before = arena_used;
        // No text is longer than the JSON that it was written in, but for numbers.
        const size_t needed = arena_used + batch[i].length + longest_growth + copy_step;
        if (arena.size() < needed && batch[i].length <= CSIMD_MAXIMUM_MESSAGE_BYTES) arena.resize(needed * 2);
        Row row;
        Verdict verdict = open(batch[i]);
        if (verdict.accepted()) {
            find_fields();
            verdict = read(row, arena_base);
        }
        if (verdict.accepted()) {
            append(row, int32_t(i));
        } else {
            arena_used = arena_before;
            csimd_rejection rejection{int32_t(i), int8_t(verdict.reason), int8_t(verdict.field), 0, {}};
            describe(verdict.field, rejection);
            rejections.push_back(rejection);
        }
    }
    return {
        .rows = rows,
        .timestamp_milliseconds = timestamps.data(),
        .amount = amounts.data(),
        .latitude = latitudes.data(),
        .longitude = longitudes.data(),
        .message = messages.data(),
        .texts = texts.data(),
        .hashes = hashes.data(),
        .arena = arena.data(),
        .arena_length = arena_used,
        .rejection_count = rejections.size(),
        .rejections = rejections.data(),
    };
}

csimd_parser *csimd_parser_create(const exact_zone *zone) {
    auto *parser = new csimd_parser;
    if (zone) {
        parser->zone_starts.assign(zone->starts, zone->starts + zone->count);
        parser->zone_offsets.assign(zone->offsets, zone->offsets + zone->count);
    }
    if (parser->json.allocate(CSIMD_MAXIMUM_MESSAGE_BYTES + 1, CSIMD_MAXIMUM_DEPTH)) std::abort();
    return parser;
}

void csimd_parser_destroy(csimd_parser *parser) { delete parser; }

csimd_columns csimd_parse(csimd_parser *parser, const csimd_message *messages, size_t count,
                          uint32_t arena_base) {
    return parser->parse(messages, count, arena_base);
}
