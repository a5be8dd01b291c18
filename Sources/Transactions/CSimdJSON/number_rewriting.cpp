#include "number_rewriting.h"

#include <charconv>
#include <system_error>

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A number's text by RFC 8259, section 6.
struct Number {
    size_t length = 0;  // 0: none starts here
    bool is_whole = true;
    bool shrinks = false;  // a negative exponent
};

Number number_at(std::string_view json, size_t start) {
    size_t at = start;
    const auto peek = [&] { return at < json.size() ? json[at] : '\0'; };
    const auto skip_digits = [&] {
        const size_t first = at;
        while (is_digit(peek())) ++at;
        return at > first;
    };
    Number number;
    if (peek() == '-') ++at;
    if (peek() == '0') {
        ++at;
    } else if (!skip_digits()) {
        return {};
    }
    if (peek() == '.') {
        ++at;
        number.is_whole = false;
        if (!skip_digits()) return {};
    }
    if (peek() == 'e' || peek() == 'E') {
        ++at;
        number.is_whole = false;
        number.shrinks = peek() == '-';
        if (peek() == '-' || peek() == '+') ++at;
        if (!skip_digits()) return {};
    }
    number.length = at - start;
    return number;
}

/// The length of a word that stands at a place and does not go on behind it; 0: it does not.
size_t word_at(std::string_view json, size_t at, std::string_view word) {
    if (at > json.size() || json.substr(at, word.size()) != word) return 0;
    const size_t end = at + word.size();
    const bool ends = end == json.size() || std::string_view(",]} \t\r\n").find(json[end]) != std::string_view::npos;
    return ends ? word.size() : 0;
}

/// Where the string that opens at `start` ends, or the end of the text.
size_t after_string(std::string_view json, size_t start) {
    for (size_t at = start + 1; at < json.size(); ++at) {
        if (json[at] == '\\') {
            ++at;
        } else if (json[at] == '"') {
            return at + 1;
        }
    }
    return json.size();
}

}  // namespace

bool rewrite_numbers(std::string_view json, std::string &rewritten) {
    rewritten.clear();
    bool changed = false;
    for (size_t at = 0; at < json.size();) {
        if (json[at] == '"') {
            const size_t end = after_string(json, at);
            rewritten.append(json.substr(at, end - at));
            at = end;
            continue;
        }
        if (const size_t length = word_at(json, at, "NaN")) {
            rewritten.append("null");
            changed = true;
            at += length;
            continue;
        }
        const bool is_negative = json[at] == '-';
        if (const size_t length = word_at(json, at + is_negative, "Infinity")) {
            rewritten.append("[]");
            changed = true;
            at += is_negative + length;
            continue;
        }
        const Number number = number_at(json, at);
        if (number.length == 0) {
            rewritten.push_back(json[at++]);
            continue;
        }
        const std::string_view text = json.substr(at, number.length);
        double value;
        const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
        if (result.ec == std::errc::result_out_of_range && !number.shrinks) {
            rewritten.append("[]");
            changed = true;
        } else {
            rewritten.append(text);
            if (number.is_whole && number.length >= 19) {
                rewritten.append("e0");
                changed = true;
            }
        }
        at += number.length;
    }
    return changed;
}
