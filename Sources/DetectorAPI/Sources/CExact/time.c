#include "exact.h"

/// Reads `count` digits, or gives -1.
static int digits(const char *text, int count) {
    int value = 0;
    for (int i = 0; i < count; ++i) {
        const unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit > 9) return -1;
        value = value * 10 + (int)digit;
    }
    return value;
}

/// `Z` or `+hh:mm`, which must be all that is left. Returns 0 when it is not.
static int parse_offset(const char *text, size_t length, int *minutes) {
    if (length == 1 && (text[0] == 'Z' || text[0] == 'z')) {
        *minutes = 0;
        return 1;
    }
    if (length != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return 0;
    const int hour = digits(text + 1, 2), minute = digits(text + 4, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return 0;
    *minutes = (hour * 60 + minute) * (text[0] == '-' ? -1 : 1);
    return 1;
}

int exact_parse_time(const char *text, size_t length, int64_t *milliseconds) {
    if (length < 20) return 0;
    const int year = digits(text, 4), month = digits(text + 5, 2), day = digits(text + 8, 2);
    const int hour = digits(text + 11, 2), minute = digits(text + 14, 2), second = digits(text + 17, 2);
    const int is_separated = text[4] == '-' && text[7] == '-' && text[13] == ':' && text[16] == ':' &&
                             (text[10] == 'T' || text[10] == 't' || text[10] == ' ');
    int64_t days;
    if (!is_separated || !exact_days(year, month, day, &days)) return 0;
    // RFC 3339 has second 60 for leap seconds; as POSIX time has none, it becomes the next minute's first.
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return 0;
    size_t at = 19;
    int fraction = 0;
    if (text[at] == '.') {
        const size_t first = ++at;
        for (int scale = 100; at < length && digits(text + at, 1) >= 0; ++at, scale /= 10) {
            fraction += digits(text + at, 1) * scale;
        }
        if (at == first) return 0;
    }
    int offset_minutes = 0;
    if (!parse_offset(text + at, length - at, &offset_minutes)) return 0;
    const int64_t minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    *milliseconds = (minutes * 60 + second) * 1000 + fraction;
    return 1;
}
