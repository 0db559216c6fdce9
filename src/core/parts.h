/* What becomes of each component when an environment goes back to a deployment: the first half of generating a plan (generate.c makes the
 * steps). Pure. */
#ifndef CORE_PARTS_H
#define CORE_PARTS_H

#include "core/generate.h"

/* A set of components: one bit each. */
#define SET_WORDS(count)   (((count) + 63) / 64)
#define SET_HAS(set, item) (((set)[(item) / 64] >> ((item) % 64) & 1) != 0)
#define SET_ADD(set, item) ((set)[(item) / 64] |= UINT64_C(1) << ((item) % 64))

struct part {
	const struct component *component;
	enum driver_kind kind;
	bool selected, recorded;
	const char *from, *to;             /* versions; NULL: not known, not recorded */
	const char *from_state, *to_state; /* NULL: not known */
	json_t *from_details, *to_details; /* may be NULL */
	bool returns;                      /* its own content goes back */
	bool stops, starts;                /* services */
	bool clears;                       /* caches */
	const char *note;
	const char *migrate_to; /* DATA: the data stays and its schema goes back to this migration; NULL: it does not */
	json_t *scripts;        /* the down scripts for it: migration -> sum */
	bool scripts_kept;      /* they are in what was kept with the present deployment */
	json_t *flags;          /* FLAGS: flag -> state to set; NULL: none */
	json_t *items;          /* what differs inside: [{name, from, to}]; NULL */
};

struct parts {
	const struct generate_input *input;
	struct part *list;
	size_t count, words;
	size_t *order;   /* components after those that they need */
	uint64_t *needs; /* per component the set of what it needs, directly or not: words each */
	uint64_t *needed_by;
	uint64_t *critical; /* critical ones and what they need */
	const char **left;  /* sentences: what stays as it is */
	size_t left_count;
};

/* ERR_NOT_FOUND for an unknown name in `only`, ERR_INVALID for a cycle in needs. */
must_check int parts_make(const void *ctx, const struct generate_input *input, struct parts **ret, struct err *err);
void parts_leave(struct parts *parts, const char *format, ...) printf_like(2, 3);

#endif
