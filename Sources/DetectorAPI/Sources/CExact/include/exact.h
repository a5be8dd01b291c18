#ifndef EXACT_H
#define EXACT_H

// The reading of values that both Swift and the C++ of the readers need, in plain C: one source, so that the same
// text means the same wherever it is read. No state, no locale; safe to call from any thread.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: The calendar: proleptic Gregorian, in days since 1970-01-01.

/// Days since 1970 of a date that exists, years 1 to 9999. Returns 0 when there is no such day: 30 February, month 13.
int exact_days(int64_t year, int month, int day, int64_t *days);

/// The date of a day; years before 1 and after 9999 come out as they count.
void exact_date(int64_t days, int64_t *year, int *month, int *day);

// MARK: Values

/// What a text turned out to be.
enum {
    EXACT_VALUE = 0,
    /// It stands for no value: empty, NULL, \N, NaN and the like.
    EXACT_MISSING = 1,
    /// It is nothing of the kind that was asked for.
    EXACT_MALFORMED = 2,
    /// A number beyond the range of a double, or one that says that it is infinite.
    EXACT_NOT_FINITE = 3,
    /// A time that would be one if it had a zone.
    EXACT_NO_ZONE = 4,
    /// A number of no time: neither seconds nor milli-, micro- or nanoseconds of the years 1971 to 2199.
    EXACT_OUT_OF_RANGE = 5
};

int exact_is_missing_word(const char *text, size_t length);

/// Whether a text of any field stands for no value: empty, `NULL`, `null`, `\N`, `NaN`, `nan`, `<NA>`, `NaT`, `#N/A`.
/// Not `NA`, which is Namibia, nor `None`, which is a category like any other.
static inline int exact_is_missing(const char *text, size_t length) {
    return length == 0 || (length <= 4 && exact_is_missing_word(text, length));
}

/// A decimal number: an optional sign, digits with at most one point, an optional exponent; blanks around it are
/// passed over. Neither thousands separators nor hexadecimal. Correctly rounded.
///
/// Returns EXACT_VALUE, EXACT_MISSING (also for `NA`, `N/A` and `None`), EXACT_NOT_FINITE or EXACT_MALFORMED.
int exact_number(const char *text, size_t length, double *value);

/// Yes or no: `true`, `t`, `yes`, `y` and numbers but 0; `false`, `f`, `no`, `n` and 0; in either case.
///
/// Returns EXACT_VALUE, EXACT_MISSING or EXACT_MALFORMED.
int exact_boolean(const char *text, size_t length, int *value);

// MARK: Times

/// The offsets of a place from UTC, for times that do not say theirs. Borrowed.
typedef struct {
    /// When each offset begins, in milliseconds since 1970 UTC, ascending; the first counts for all time before.
    const int64_t *starts;
    /// Milliseconds east of Greenwich.
    const int64_t *offsets;
    /// At least 1.
    size_t count;
} exact_zone;

/// A local time of a place, given as milliseconds as if it were UTC, in UTC. Of an hour that comes twice the first;
/// a time that a clock leaps over counts as if it had not leapt.
int64_t exact_local_time(const exact_zone *zone, int64_t local_milliseconds);

/// A time in milliseconds since 1970 UTC.
///
/// `2026-03-01T12:30:00.250+02:00` and what exporters make of it: a blank for the T, no seconds, any number of digits of
/// the second's fraction behind a point or a comma, which are cut off past the millisecond; as zone `Z`, `+02:00`,
/// `+0200`, `+02`, `UTC` or `GMT`, a blank before it or not, behind an offset a name, `[Europe/Paris]` or ` CET`, which
/// says nothing more. `20260301T123000Z`. `Sun, 01 Mar 2026 12:30:00 +0200`. Second 60, a leap second, counts as the
/// first of the next minute. Years 0001 to 9999. Without a zone it is of `zone`'s place, and so is a day alone, which is
/// its midnight; without both, EXACT_NO_ZONE. Or a number, as `exact_epoch` has it.
///
/// Returns EXACT_VALUE, EXACT_MISSING, EXACT_MALFORMED, EXACT_NO_ZONE or EXACT_OUT_OF_RANGE.
int exact_time(const char *text, size_t length, const exact_zone *zone, int64_t *milliseconds);

/// The same for RFC 3339 times and their kin alone: no numbers, no place. Returns whether it is one.
int exact_parse_time(const char *text, size_t length, int64_t *milliseconds);

/// A count since 1970 UTC in milliseconds: seconds, milli-, micro- or nanoseconds by its size. In the years 1971 to
/// 2199, which are asked for, no number is of two of these units. Digits past the millisecond are cut off.
///
/// Returns EXACT_VALUE or EXACT_OUT_OF_RANGE.
int exact_epoch(int64_t count, int64_t *milliseconds);

/// The same for a number with a fraction. The nearest microsecond counts, so that 1772366400.123 seconds are 123 ms.
int exact_epoch_real(double count, int64_t *milliseconds);

/// The event times that a transaction may have: [1971-01-01, 2200-01-01).
static const int64_t EXACT_EARLIEST_MILLISECONDS = 31536000000;
static const int64_t EXACT_LATEST_MILLISECONDS = 7258118400000;

// MARK: Texts of values that are none

enum { EXACT_WHOLE_BYTES = 24, EXACT_UUID_BYTES = 36 };

/// The decimal digits of a number that is whole and at most 2^53, as an id has them; writes at most EXACT_WHOLE_BYTES
/// and returns how many, 0 for another number.
size_t exact_whole_text(double value, char *text);

/// Likewise of any integer.
size_t exact_integer_text(int64_t value, char *text);
size_t exact_unsigned_text(uint64_t value, char *text);

/// The 36 characters of a UUID, from its 16 bytes.
void exact_uuid_text(const uint8_t *bytes, char *text);

/// The digit of a value below 16.
static inline char exact_hex_digit(uint8_t value) {
    return (char)(value < 10 ? '0' + value : 'a' - 10 + value);
}

/// Two digits a byte, 2 * count in all.
static inline void exact_hex(const uint8_t *bytes, size_t count, uint8_t *digits) {
    for (size_t i = 0; i < count; i++) {
        digits[2 * i] = (uint8_t)exact_hex_digit(bytes[i] >> 4);
        digits[2 * i + 1] = (uint8_t)exact_hex_digit(bytes[i] & 15);
    }
}

#ifdef __cplusplus
}
#endif

#endif
