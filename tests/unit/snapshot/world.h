/* A store in a folder of its own, content for it, and what several tests ask of both. */
#ifndef TESTS_SNAPSHOT_WORLD_H
#define TESTS_SNAPSHOT_WORLD_H

#include <sys/stat.h>

#include "checks.h"
#include "snapshot/snapshot_store.h"

#define SECRET_1 "the first secret that is long enough to seal"
#define SECRET_2 "the second one, which came after the first ...."

struct world {
	char folder[48];
	char *state, *source; /* .deployments/; a folder beside it */
	const struct snapshot_keys *keys;
	struct snapshot_store *store;
	struct err error;
};

extern const struct snapshot_keys keys_1, keys_2, keys_both; /* version 1; version 2 alone; both, the second is current */

int world_set_up(void **state);        /* unsealed */
int world_set_up_sealed(void **state); /* with keys_1 */
int world_tear_down(void **state);
/* Opens the store anew, with these keys. */
void world_reopen(struct world *world, const struct snapshot_keys *keys);

/* A path in the world's folder, of a new string in it. */
char *at(struct world *world, const char *format, ...) printf_like(2, 3);
void put(const char *path, const void *bytes, size_t size, mode_t mode);
void put_text(const char *path, const char *text);
/* `size` bytes that follow from the seed; half of the seeds give what does not get smaller. */
uint8_t *content(const void *ctx, size_t size, unsigned seed);

int begin(struct world *world, const char *id);
/* A small snapshot of everything: config, state, links, an empty file, odd names, a file of several segments, and a tree that is added from the source. */
void fill(struct world *world, const char *id);
void take(struct world *world, const char *id, struct snapshot_summary *ret);
/* What differs between two folders, as one text; "" when nothing does. Names that begin with a dot at the top, and those of the store, are left out. */
char *differences(struct world *world, const char *a, const char *b);

#endif
