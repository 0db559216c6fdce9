/* Places of values: an open-addressing table keyed by the chained hash of the path. Line 0 marks a free slot.
 * Threads: written while the document is parsed, only read afterwards. */
#include "data/places.h"

#include <sodium.h>

struct places {
	unsigned char key[crypto_shorthash_KEYBYTES];
	struct place *slots;
	size_t size, used; /* size is a power of two */
	size_t written;
};

_Static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "the hash fills a uint64_t");

struct places *places_new(const void *ctx)
{
	struct places *places = mem_zero(ctx, struct places);

	randombytes_buf(places->key, sizeof(places->key));
	places->size = 64;
	places->slots = mem_array(places, struct place, places->size);
	return places;
}

static uint64_t hash_bytes(const struct places *places, const void *bytes, size_t size)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t hash;

	crypto_shorthash(out, bytes, size, places->key);
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

/* The kind keeps the key "3" and the index 3 apart. */
static uint64_t hash_child(const struct places *places, uint64_t parent, uint64_t child, uint64_t kind)
{
	uint64_t parts[3] = { parent, child, kind };

	return hash_bytes(places, parts, sizeof(parts));
}

uint64_t places_root(const struct places *places)
{
	return hash_child(places, 0, 0, 0);
}

uint64_t places_key(const struct places *places, uint64_t parent, const char *key, size_t length)
{
	return hash_child(places, parent, hash_bytes(places, key, length), 1);
}

uint64_t places_index(const struct places *places, uint64_t parent, size_t index)
{
	return hash_child(places, parent, index, 2);
}

static struct place *find(const struct places *places, uint64_t hash)
{
	size_t at = hash & (places->size - 1);

	while (places->slots[at].line != 0 && places->slots[at].hash != hash)
		at = (at + 1) & (places->size - 1);
	return &places->slots[at];
}

static void grow(struct places *places)
{
	struct place *old = places->slots;
	size_t old_size = places->size;

	places->size *= 2;
	places->slots = mem_array(places, struct place, places->size);
	for (size_t i = 0; i < old_size; i++)
		if (old[i].line != 0)
			*find(places, old[i].hash) = old[i];
	talloc_free(old);
}

void places_set(struct places *places, uint64_t hash, unsigned line, unsigned column, const char *written)
{
	struct place *place;

	if (places->used >= places->size / 4 * 3)
		grow(places);
	place = find(places, hash);
	if (place->line == 0)
		places->used++;
	if (written)
		places->written++;
	*place = (struct place){ .hash = hash, .line = MAX(line, 1u), .column = column, .written = mem_strdup(places, written) };
}

const struct place *places_get(const struct places *places, uint64_t hash)
{
	const struct place *place = find(places, hash);

	return place->line != 0 ? place : NULL;
}

bool places_any_written(const struct places *places)
{
	return places->written > 0;
}
