/* JSON values as members of the talloc tree, canonical form, and short ways to build and read them. */
#ifndef DATA_JSON_H
#define DATA_JSON_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

/* Call once at start: jansson aborts when memory ends, like everything else. */
void json_setup(void);

/* Ties one reference to a talloc context: released when the context is freed. Returns its argument (borrowed from then on). */
json_t *json_keep(const void *ctx, json_t *reference);
/* Strict parse of a short text (no places): duplicate keys, trailing bytes, depth over 64 and size over `max` are errors. Kept in ctx. */
must_check int json_parse(const void *ctx, const char *text, size_t size, size_t max, json_t **ret, struct err *err);

/* Canonical text: what is hashed and compared. The same value always gives the same bytes. RFC 8785 (JCS) but for three points:
 *   - keys are sorted by their UTF-8 bytes, that is by code point (JCS: by UTF-16 unit; the order differs only when a key has a
 *     character above U+FFFF);
 *   - integers are written exactly to 64 bits (JCS: as doubles, exact to 2^53);
 *   - reals of 2^53 and more have an exponent (JCS: from 1e21), so that they are read back as reals.
 * Reals have the fewest digits that read back the same; 1.0 is written 1, -0.0 is written 0. */
char *json_canonical(const void *ctx, const json_t *value);
/* For people: two blanks of indent, order kept. */
char *json_pretty(const void *ctx, const json_t *value);

/* Text of a string, number or boolean, as in the canonical form but without quotes; NULL for anything else. */
char *json_scalar_text(const void *ctx, const json_t *value);

/* Object from a format as in json_pack, aborting on a wrong format; kept in ctx. Use for what the program itself builds. */
json_t *json_make(const void *ctx, const char *format, ...);
/* Members; the default when missing or of another type. Borrowed. */
const char *json_str(const json_t *object, const char *key, const char *fallback);
int64_t json_int(const json_t *object, const char *key, int64_t fallback);
bool json_flag(const json_t *object, const char *key, bool fallback);
/* Sets a string member; nothing when value is NULL. Bytes that are not UTF-8 (output of programs) are written as \\xNN. */
void json_put_str(json_t *object, const char *key, const char *value);
void json_put_int(json_t *object, const char *key, int64_t value);
void json_put_flag(json_t *object, const char *key, bool value);
/* Sets a member to a borrowed value (a new reference is taken); nothing when NULL. */
void json_put(json_t *object, const char *key, json_t *value);

#endif
