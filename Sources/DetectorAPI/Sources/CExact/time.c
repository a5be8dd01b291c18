#include <math.h>

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

/// The zone, which must be all that is left: `Z`, `UTC`, `GMT`, `+hh:mm`, `+hhmm`, `+hh`, a blank before it or not.
/// Returns EXACT_VALUE, EXACT_NO_ZONE when nothing is left, or EXACT_MALFORMED.
static int parse_zone(const char *text, size_t length, int *minutes) {
    *minutes = 0;
    if (length == 0) return EXACT_NO_ZONE;
    if (text[0] == ' ') ++text, --length;
    if (length == 1 && (text[0] == 'Z' || text[0] == 'z')) return EXACT_VALUE;
    if (length == 3 && text[0] == 'U' && text[1] == 'T' && text[2] == 'C') return EXACT_VALUE;
    if (length == 3 && text[0] == 'G' && text[1] == 'M' && text[2] == 'T') return EXACT_VALUE;
    if (length < 3 || (text[0] != '+' && text[0] != '-')) return EXACT_MALFORMED;
    const int hour = digits(text + 1, 2);
    int minute = 0;
    if (length == 6 && text[3] == ':') {
        minute = digits(text + 4, 2);
    } else if (length == 5) {
        minute = digits(text + 3, 2);
    } else if (length != 3) {
        return EXACT_MALFORMED;
    }
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return EXACT_MALFORMED;
    *minutes = (hour * 60 + minute) * (text[0] == '-' ? -1 : 1);
    return EXACT_VALUE;
}

/// A time of the calendar, as if it were UTC, and what it says of its zone.
static int parse_calendar(const char *text, size_t length, int64_t *local, int *zone_minutes) {
    if (length < 10 || text[4] != '-' || text[7] != '-') return EXACT_MALFORMED;
    const int year = digits(text, 4), month = digits(text + 5, 2), day = digits(text + 8, 2);
    int64_t days;
    if (!exact_days(year, month, day, &days)) return EXACT_MALFORMED;
    if (length == 10) {
        *local = days * 86400000;
        return EXACT_NO_ZONE;
    }
    if (length < 19 || (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) return EXACT_MALFORMED;
    const int hour = digits(text + 11, 2), minute = digits(text + 14, 2), second = digits(text + 17, 2);
    if (text[13] != ':' || text[16] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59) return EXACT_MALFORMED;
    // RFC 3339 has second 60 for leap seconds; as POSIX time has none, it becomes the next minute's first.
    if (second < 0 || second > 60) return EXACT_MALFORMED;
    size_t at = 19;
    int fraction = 0;
    if (at < length && text[at] == '.') {
        const size_t first = ++at;
        for (int scale = 100; at < length && digits(text + at, 1) >= 0; ++at, scale /= 10) {
            fraction += digits(text + at, 1) * scale;
        }
        if (at == first) return EXACT_MALFORMED;
    }
    *local = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + fraction;
    return parse_zone(text + at, length - at, zone_minutes);
}

int exact_parse_time(const char *text, size_t length, int64_t *milliseconds) {
    int64_t local;
    int minutes;
    if (parse_calendar(text, length, &local, &minutes) != EXACT_VALUE) return 0;
    *milliseconds = local - minutes * INT64_C(60000);
    return 1;
}

int64_t exact_local_time(const exact_zone *zone, int64_t local) {
    // The last offset that has begun by the clock of either side; its neighbours are looked at too.
    size_t low = 0, high = zone->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (zone->starts[middle] <= local) low = middle;
        else high = middle;
    }
    const size_t first = low > 0 ? low - 1 : 0;
    int64_t leapt = local - zone->offsets[low];
    for (size_t i = first; i < zone->count && i <= low + 1; ++i) {
        const int64_t time = local - zone->offsets[i];
        const int has_begun = i == 0 || time >= zone->starts[i];
        const int has_ended = i + 1 < zone->count && time >= zone->starts[i + 1];
        if (has_begun && !has_ended) return time;
        // Neither by the clock before the leap nor by the one after it: the one before goes on.
        if (has_begun) leapt = time;
    }
    return leapt;
}

static int is_within(int64_t count, int64_t unit_of_second) {
    const int64_t earliest = EXACT_EARLIEST_MILLISECONDS / 1000, latest = EXACT_LATEST_MILLISECONDS / 1000;
    return count >= earliest * unit_of_second && count < latest * unit_of_second;
}

int exact_epoch(int64_t count, int64_t *milliseconds) {
    if (is_within(count, 1000)) {
        *milliseconds = count;
    } else if (is_within(count, 1)) {
        *milliseconds = count * 1000;
    } else if (is_within(count, 1000000)) {
        *milliseconds = count / 1000;
    } else if (is_within(count, 1000000000)) {
        *milliseconds = count / 1000000;
    } else {
        return EXACT_OUT_OF_RANGE;
    }
    return EXACT_VALUE;
}

int exact_epoch_real(double count, int64_t *milliseconds) {
    // Compared before the conversion, which is undefined for what does not fit; NaN fails every comparison.
    if (!(count >= 0 && count < 0x1p63)) return EXACT_OUT_OF_RANGE;
    if (is_within((int64_t)count, 1)) count = floor(rint(count * 1e6) / 1e3);
    return exact_epoch((int64_t)count, milliseconds);
}

int exact_time(const char *text, size_t length, const exact_zone *zone, int64_t *milliseconds) {
    while (length > 0 && text[0] == ' ') ++text, --length;
    while (length > 0 && text[length - 1] == ' ') --length;
    int64_t local;
    int minutes;
    const int found = parse_calendar(text, length, &local, &minutes);
    if (found == EXACT_VALUE) {
        *milliseconds = local - minutes * INT64_C(60000);
    } else if (found == EXACT_NO_ZONE && zone && zone->count > 0) {
        *milliseconds = exact_local_time(zone, local);
        return EXACT_VALUE;
    }
    if (found != EXACT_MALFORMED) return found;

    // Integers exactly: nanoseconds are beyond a double.
    int64_t count = 0;
    size_t at = 0;
    while (at < length && at < 19 && digits(text + at, 1) >= 0) count = count * 10 + digits(text + at++, 1);
    if (at > 0 && at == length) return exact_epoch(count, milliseconds);
    double number;
    const int kind = exact_number(text, length, &number);
    if (kind == EXACT_NOT_FINITE) return EXACT_MALFORMED;
    return kind == EXACT_VALUE ? exact_epoch_real(number, milliseconds) : kind;
}
