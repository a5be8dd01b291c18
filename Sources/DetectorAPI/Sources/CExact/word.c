#include <string.h>

#include "exact.h"

static int is(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

int exact_is_missing_word(const char *text, size_t length) {
    static const char *const words[] = {"NULL", "null", "\\N", "NaN", "nan", "<NA>", "NaT", "#N/A"};
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i) {
        if (is(text, length, words[i])) return 1;
    }
    return 0;
}

/// Whether a text is a word, whatever the case of its letters; the word is in lower case.
static int is_folded(const char *text, size_t length, const char *word) {
    if (strlen(word) != length) return 0;
    for (size_t i = 0; i < length; ++i) {
        const char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + ('a' - 'A')) : text[i];
        if (c != word[i]) return 0;
    }
    return 1;
}

int exact_boolean(const char *text, size_t length, int *value) {
    while (length > 0 && text[0] == ' ') ++text, --length;
    while (length > 0 && text[length - 1] == ' ') --length;
    static const char *const words[2][4] = {{"false", "f", "no", "n"}, {"true", "t", "yes", "y"}};
    for (int meaning = 0; meaning < 2; ++meaning) {
        for (int i = 0; i < 4; ++i) {
            if (is_folded(text, length, words[meaning][i])) {
                *value = meaning;
                return EXACT_VALUE;
            }
        }
    }
    double number = 0;
    const int found = exact_number(text, length, &number);
    if (found == EXACT_VALUE) *value = number != 0;
    return found == EXACT_NOT_FINITE ? EXACT_MALFORMED : found;
}
