/* Where each value of a document stands. A value is known by a chained hash of its path: hash(parent, key or index). No path is kept as
 * text, so that a plan of 100,000 values costs a few megabytes, and neither long keys nor deep nesting make it slow.
 * The hash is SipHash with a random key; a collision (2^-64 each) would show a wrong line number and nothing else. */
#ifndef DATA_PLACES_H
#define DATA_PLACES_H

#include "base/mem.h"

struct places;
struct place {
	uint64_t hash;
	unsigned line, column;
	const char *written; /* how a number or boolean was written, when that differs from its text ("1.10"); else NULL */
};

struct places *places_new(const void *ctx);
uint64_t places_root(const struct places *places);
uint64_t places_key(const struct places *places, uint64_t parent, const char *key, size_t length);
uint64_t places_index(const struct places *places, uint64_t parent, size_t index);
/* Sets or replaces. `written` is copied. */
void places_set(struct places *places, uint64_t hash, unsigned line, unsigned column, const char *written);
/* NULL when unknown. Valid until the next places_set. */
const struct place *places_get(const struct places *places, uint64_t hash);
/* True when any value has a `written` text. */
bool places_any_written(const struct places *places);

#endif
