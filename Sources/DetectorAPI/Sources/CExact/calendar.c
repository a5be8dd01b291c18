#include "exact.h"

// Years are counted from 1 March here, so that the leap day is the last of its year, in cycles of 400 years, which
// are 146,097 days. 719,468 days lie between 1 March of year 0 and 1970.

static int days_in_month(int64_t year, int month) {
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

int exact_days(int64_t year, int month, int day, int64_t *days) {
    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return 0;
    const int64_t march_year = month > 2 ? year : year - 1;
    const int march_month = month > 2 ? month - 3 : month + 9;
    // The months from March repeat 31, 30, 31, 30, 31: 153 days for five of them.
    const int64_t before = 365 * march_year + march_year / 4 - march_year / 100 + march_year / 400;
    *days = before + (153 * march_month + 2) / 5 + day - 1 - 719468;
    return 1;
}

void exact_date(int64_t days, int64_t *year, int *month, int *day) {
    int64_t cycle = days / 146097, day_of_cycle = days % 146097 + 719468 % 146097;
    cycle += 719468 / 146097;
    if (day_of_cycle < 0) {
        day_of_cycle += 146097;
        cycle -= 1;
    } else if (day_of_cycle >= 146097) {
        day_of_cycle -= 146097;
        cycle += 1;
    }
    // 1460 days end a year but the fourth, 36524 a century but the fourth, 146096 the cycle.
    const int64_t year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 - day_of_cycle / 146096) / 365;
    const int day_of_year = (int)(day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100));
    const int march_month = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = cycle * 400 + year_of_cycle + (*month <= 2 ? 1 : 0);
}
