#ifndef EXACT_H
#define EXACT_H

// The reading of values that both Swift and the C++ of the readers need, in plain C: one source, so that the same
// text means the same wherever it is read. No state, no allocation, no locale; safe to call from any thread.

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

// MARK: Times

/// RFC 3339 to milliseconds since 1970 UTC, years 0001 to 9999. Returns 0 when `text` is no such thing.
///
/// The zone is required. Digits past the millisecond are cut off; second 60, a leap second, counts as the first of
/// the next minute.
int exact_parse_time(const char *text, size_t length, int64_t *milliseconds);

#ifdef __cplusplus
}
#endif

#endif
