/* Ids: a prefix and a ULID (48 bits of milliseconds, 80 random bits, Crockford base 32 in lower case), as "run-01jd7v1yq3k8e5w2c9h4m6n0ab".
 * Ids made by one process sort in the order in which they were made, also within one millisecond; ids of several processes sort by
 * time. Format: https://github.com/ulid/spec */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "base/err.h"
#include "base/mem.h"

#define ID_ULID_LENGTH 26

/* `prefix` such as "run", "dep", "plan". Thread-safe. Randomness from getrandom(2). */
char *id_new(const void *ctx, const char *prefix);
/* The same with a given time and 10 random bytes: pure, for tests and simulation. */
char *id_from(const void *ctx, const char *prefix, int64_t wall_ms, const uint8_t random[10]);
/* Milliseconds out of an id. ERR_INVALID when it is not one. */
must_check int id_time(const char *id, int64_t *ret_wall_ms, struct err *err);

#endif
