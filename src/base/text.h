/* Text: durations, sizes and percentages as people write them, encodings, spelling help. Pure functions. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/err.h"
#include "base/mem.h"

/* "30s", "5m", "1h30m", "250ms", "2d"; a bare number means seconds ("2.5" too). Result in milliseconds, 0 to 10 years. */
must_check int text_parse_duration(const char *text, int64_t *ret_ms, struct err *err);
/* Shortest exact form for people: "0ms", "250ms", "1.2s", "30s", "1m30s", "1h30m". */
char *text_format_duration(const void *ctx, int64_t ms);
/* "1%" -> 0.01, "0.5" -> 0.5. */
must_check int text_parse_percent(const char *text, double *ret, struct err *err);
/* "12 B", "1.5 KiB", "20 MiB". */
char *text_format_size(const void *ctx, uint64_t bytes);
/* "1 step", "2 steps": for nouns that take an s. */
char *text_count(const void *ctx, uint64_t count, const char *noun);
/* Whole decimal number with optional sign, nothing else around it. */
must_check int text_parse_int(const char *text, int64_t min, int64_t max, int64_t *ret, struct err *err);

char *text_hex(const void *ctx, const void *bytes, size_t size);
must_check int text_unhex(const char *hex, void *ret_bytes, size_t size, struct err *err); /* exactly 2 * size digits */
char *text_base64(const void *ctx, const void *bytes, size_t size);                        /* standard alphabet, padded */
char *text_url_encode(const void *ctx, const char *text);                                  /* RFC 3986: all but unreserved as %XX */

/* Control characters (but \t and \n when `multiline`) and invalid UTF-8 written as \xNN: safe for a terminal and a log line. */
char *text_printable(const void *ctx, const char *text, size_t length, bool multiline);
bool text_is_utf8(const char *text, size_t length); /* RFC 3629: no overlong forms, no surrogates */

/* The candidate that a typing person most likely meant, or NULL when none is near (edit distance <= 1 + length / 4).
 * `candidates` ends with NULL. */
const char *text_nearest(const char *word, const char *const *candidates);

bool text_starts_with(const char *text, const char *prefix);
bool text_ends_with(const char *text, const char *suffix);
bool text_glob(const char *pattern, const char *text); /* * and ? only */
/* Names of environments, components, plans, steps, flags: [A-Za-z0-9][A-Za-z0-9._-]*, at most 128 bytes, no "..". */
bool text_is_name(const char *text);
/* Splits at `separator`, trims blanks, drops empties; array ends with NULL. */
char **text_split(const void *ctx, const char *text, char separator);

#endif
