// For strtod_l.
#define _GNU_SOURCE
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef __APPLE__
#include <xlocale.h>
#endif

#include "exact.h"

static int is_digit(char c) { return c >= '0' && c <= '9'; }

// strtod reads the decimal point of the process's locale, which a library may change; this one never changes.
static locale_t plain_locale;
static void make_plain_locale(void) { plain_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/// Correctly rounded, as the C library's is. `text` is a number by its grammar.
static double rounded(const char *text, size_t length) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_plain_locale);
    char copy[64];
    char *terminated = length < sizeof copy ? copy : malloc(length + 1);
    if (!terminated) abort();  // no fault of the text
    memcpy(terminated, text, length);
    terminated[length] = 0;
    const double value = strtod_l(terminated, NULL, plain_locale);
    if (terminated != copy) free(terminated);
    return value;
}

static int is_infinite_word(const char *text, size_t length) {
    if (length > 0 && (text[0] == '-' || text[0] == '+')) ++text, --length;
    static const char *const words[] = {"inf", "Inf", "INF", "infinity", "Infinity", "INFINITY"};
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i) {
        if (strlen(words[i]) == length && memcmp(text, words[i], length) == 0) return 1;
    }
    return 0;
}

static int is_missing_number(const char *text, size_t length) {
    static const char *const words[] = {"NA", "na", "N/A", "n/a", "None", "NAN", "Null", "#NA"};
    if (exact_is_missing(text, length)) return 1;
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i) {
        if (strlen(words[i]) == length && memcmp(text, words[i], length) == 0) return 1;
    }
    return 0;
}

int exact_number(const char *text, size_t length, double *value) {
    while (length > 0 && text[0] == ' ') ++text, --length;
    while (length > 0 && text[length - 1] == ' ') --length;
    size_t at = 0, digits = 0;
    uint64_t mantissa = 0;
    int has_point = 0, fraction = 0;
    const int is_negative = length > 0 && text[0] == '-';
    if (length > 0 && (text[0] == '-' || text[0] == '+')) ++at;
    const size_t start = at;
    for (; at < length && (is_digit(text[at]) || (text[at] == '.' && !has_point)); ++at) {
        if (text[at] == '.') {
            has_point = 1;
            continue;
        }
        if (digits < 19) mantissa = mantissa * 10 + (uint64_t)(text[at] - '0');
        ++digits;
        fraction += has_point;
    }
    if (digits == 0) {
        if (is_missing_number(text, length)) return EXACT_MISSING;
        return is_infinite_word(text, length) ? EXACT_NOT_FINITE : EXACT_MALFORMED;
    }
    int has_exponent = 0;
    if (at < length && (text[at] == 'e' || text[at] == 'E')) {
        has_exponent = 1;
        ++at;
        if (at < length && (text[at] == '-' || text[at] == '+')) ++at;
        const size_t first = at;
        while (at < length && is_digit(text[at])) ++at;
        if (at == first) return EXACT_MALFORMED;
    }
    if (at != length) return EXACT_MALFORMED;
    // Both exact, so their quotient is rounded once, correctly.
    static const double powers[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (!has_exponent && digits <= 19 && mantissa <= (UINT64_C(1) << 53) && fraction <= 22) {
        const double magnitude = (double)mantissa / powers[fraction];
        *value = is_negative ? -magnitude : magnitude;
        return EXACT_VALUE;
    }
    const double magnitude = rounded(text + start, length - start);
    if (isinf(magnitude)) return EXACT_NOT_FINITE;
    *value = is_negative ? -magnitude : magnitude;
    return EXACT_VALUE;
}

size_t exact_unsigned_text(uint64_t value, char *text) {
    char reversed[EXACT_WHOLE_BYTES];
    size_t length = 0;
    do reversed[length++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    for (size_t i = 0; i < length; ++i) text[i] = reversed[length - 1 - i];
    return length;
}

size_t exact_integer_text(int64_t value, char *text) {
    if (value >= 0) return exact_unsigned_text((uint64_t)value, text);
    *text = '-';
    return 1 + exact_unsigned_text(0 - (uint64_t)value, text + 1);
}

size_t exact_whole_text(double value, char *text) {
    if (!(value >= -0x1p53 && value <= 0x1p53) || trunc(value) != value) return 0;
    return exact_integer_text((int64_t)value, text);
}

void exact_uuid_text(const uint8_t *bytes, char *text) {
    for (int i = 0; i < 16; ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *text++ = '-';
        *text++ = exact_hex_digit(bytes[i] >> 4);
        *text++ = exact_hex_digit(bytes[i] & 15);
    }
}
