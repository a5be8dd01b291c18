#include <math.h>
#include <string.h>

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

/// What some write behind an offset and what says nothing more: `[Europe/Paris]`, ` UTC`. Returns the length without it.
static size_t without_zone_name(const char *text, size_t length) {
    if (length > 0 && text[length - 1] == ']') {
        const char *open = memchr(text, '[', length);
        return open ? (size_t)(open - text) : length;
    }
    size_t letters = 0;
    while (letters < length && text[length - 1 - letters] >= 'A' && text[length - 1 - letters] <= 'Z') ++letters;
    const int follows_offset = length - letters >= 4 && text[length - 1 - letters] == ' '
        && digits(text + length - 2 - letters, 1) >= 0;
    return letters >= 3 && letters <= 5 && follows_offset ? length - letters - 1 : length;
}

/// The zone, which must be all that is left: `Z`, `UTC`, `GMT`, `+hh:mm`, `+hhmm`, `+hh`, a blank before it or not, and a
/// name behind it or not. Returns EXACT_VALUE, EXACT_NO_ZONE when nothing is left, or EXACT_MALFORMED.
static int parse_zone(const char *text, size_t length, int *minutes) {
    *minutes = 0;
    if (length == 0) return EXACT_NO_ZONE;
    length = without_zone_name(text, length);
    if (length > 0 && text[0] == ' ') ++text, --length;
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

/// The time of a day at `*at`, in milliseconds: `12:30`, `12:30:00`, `12:30:00.250`, `12:30:00,250`, or without colons
/// `123000`. Moves `*at` behind it; returns whether it is one.
static int parse_clock(const char *text, size_t length, size_t *at, int colons, int64_t *milliseconds) {
    const size_t step = colons ? 3 : 2;
    size_t end = *at + 2 * step - (colons ? 1 : 0);
    if (length < end || (colons && text[*at + 2] != ':')) return 0;
    const int hour = digits(text + *at, 2), minute = digits(text + *at + step, 2);
    int second = 0, fraction = 0;
    if (!colons || (end < length && text[end] == ':')) {
        if (colons) ++end;
        if (length < end + 2) return 0;
        // RFC 3339 has second 60 for leap seconds; as POSIX time has none, it becomes the next minute's first.
        second = digits(text + end, 2);
        end += 2;
        if (end < length && (text[end] == '.' || text[end] == ',')) {
            const size_t first = ++end;
            for (int scale = 100; end < length && digits(text + end, 1) >= 0; ++end, scale /= 10) {
                fraction += digits(text + end, 1) * scale;
            }
            if (end == first) return 0;
        }
    }
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return 0;
    *at = end;
    *milliseconds = (hour * 60 + minute) * INT64_C(60000) + second * 1000 + fraction;
    return 1;
}

/// The date of `Sun, 01 Mar 2026 12:30:00 +0100`, with or without its weekday. Returns where the time of day begins, 0
/// where this is none.
static size_t parse_mail_date(const char *text, size_t length, int *year, int *month, int *day) {
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    size_t at = length > 5 && text[3] == ',' && text[4] == ' ' ? 5 : 0;
    const size_t day_digits = at + 1 < length && text[at + 1] == ' ' ? 1 : 2;
    if (length < at + day_digits + 11) return 0;
    *day = digits(text + at, (int)day_digits);
    at += day_digits;
    *year = digits(text + at + 5, 4);
    *month = 0;
    for (int name = 0; name < 12; ++name) {
        if (memcmp(text + at + 1, names + 3 * name, 3) == 0) *month = name + 1;
    }
    const int has_blanks = text[at] == ' ' && text[at + 4] == ' ' && text[at + 9] == ' ';
    return has_blanks && *day > 0 && *year > 0 && *month > 0 ? at + 10 : 0;
}

/// A time of the calendar, as if it were UTC, and what it says of its zone.
static int parse_calendar(const char *text, size_t length, int64_t *local, int *zone_minutes) {
    int year, month, day, colons = 1;
    size_t at;
    if (length >= 10 && text[4] == '-' && text[7] == '-') {
        year = digits(text, 4), month = digits(text + 5, 2), day = digits(text + 8, 2);
        at = 11;
        if (length > 10 && text[10] != 'T' && text[10] != 't' && text[10] != ' ') return EXACT_MALFORMED;
    } else if (length > 8 && text[8] == 'T') {
        year = digits(text, 4), month = digits(text + 4, 2), day = digits(text + 6, 2);
        at = 9;
        colons = 0;
    } else {
        at = length > 16 ? parse_mail_date(text, length, &year, &month, &day) : 0;
        if (at == 0) return EXACT_MALFORMED;
    }
    int64_t days, clock;
    if (!exact_days(year, month, day, &days)) return EXACT_MALFORMED;
    if (colons && length == 10) {
        *local = days * 86400000;
        return EXACT_NO_ZONE;
    }
    if (!parse_clock(text, length, &at, colons, &clock)) return EXACT_MALFORMED;
    *local = days * 86400000 + clock;
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
