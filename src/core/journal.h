/* The journal as the runner needs it: append, read, claims. Implemented by store/ (SQL), and by the simulator's in tests/sim.
 *
 * Claims: a run is claimed by a row with a lease and a fencing token that grows with each claim. Every append of a holder says which claim it holds; one whose token is no longer current is
 * refused (ERR_CONFLICT), in the same transaction. The holder counts its lease on the monotonic clock from before the attempt, less a margin of a quarter. */
#ifndef CORE_JOURNAL_H
#define CORE_JOURNAL_H

#include "core/entry.h"

struct claim {
	const char *name;   /* "run:run-01jd..." */
	const char *holder; /* who: host/boot/pid/start/number, see store/claims.h */
	int64_t token;      /* 0: not held */
	int64_t lease_ms;
	int64_t safe_until_ms; /* monotonic: until then the holder may act */
};

struct entry_filter {
	const char *run, *environment, *kind; /* NULL: any. kind may end in ".*" */
	int64_t after_seq;                    /* 0: from the first */
	int64_t before_seq;                   /* 0: to the newest */
	size_t limit;                         /* 0: no limit */
	bool newest_first;
};

struct journal;
struct journal_ops {
	/* All or none. Fills id, seq, wall_ms (when 0), previous, hash, allocated in ctx. When this fails with anything but ERR_CONFLICT, ERR_INVALID or ERR_REFUSED, it is not known whether
	 * the entries are there: read before repeating. `fence` may be NULL. */
	int (*append)(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
		struct err *err);
	/* append for an entry with which more will follow at once: it is there for everybody and survives the process, but may be lost
	 * with the power until the next append, or settle, has
	 * returned. Both may be NULL: each append is durable then. */
	int (*append_soon)(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
		struct err *err);
	int (*settle)(struct journal *journal, struct err *err);
	int (*read)(struct journal *journal, const void *ctx, const struct entry_filter *filter, struct entry **ret, size_t *ret_count,
		struct err *err);
	/* ERR_CONFLICT "held by ... for another 12 s" while somebody else's lease runs, unless that holder is known to be dead (same host and boot, process gone). Strings of *ret in ctx. */
	int (*claim)(struct journal *journal, const void *ctx, const char *name, int64_t lease_ms, struct claim *ret, struct err *err);
	int (*renew)(struct journal *journal, struct claim *claim, struct err *err);   /* ERR_CONFLICT: lost */
	int (*release)(struct journal *journal, struct claim *claim, struct err *err); /* lost is no error */
};
struct journal {
	const struct journal_ops *ops;
};

#endif
