/* Frames: journal entries as ready-made server-sent events, one copy for all clients.
 *
 * They are kept in blocks of FRAMES_BLOCK entries, aligned by their number, so that every position of the journal belongs to exactly one block whoever asks for it. The newest block always stays; of the
 * others those go first that were not read for longest, when all together take more than the limit. A reader that has fallen behind, or resumes far back, finds its block away
 * and has it loaded from the store, for all who are near it.
 *
 * Pure memory; the owner locks. Text that was handed out is valid until the next frames_add. */
#ifndef SURFACE_HTTP_FRAMES_H
#define SURFACE_HTTP_FRAMES_H

#include "core/entry.h"

#define FRAMES_BLOCK 32

struct frame {
	int64_t seq;
	const char *kind, *environment; /* environment NULL: none */
	const char *text;               /* "id: 7\nevent: run.started\ndata: {...}\n\n" */
	size_t size;
};

/* The event of an entry, registered secrets scrubbed; a block of memory of its own. */
struct frame *frame_make(const void *ctx, const struct entry *entry);

struct frames;
struct frames *frames_new(const void *ctx, size_t bytes_max, int64_t head);
/* Takes the frame over, if it is not there already. */
void frames_add(struct frames *frames, struct frame *frame);
/* Newest entry that is known. Grows with frames_add. */
int64_t frames_head(const struct frames *frames);
size_t frames_bytes(const struct frames *frames);

enum frame_state {
	FRAME_HERE,
	FRAME_LATER, /* newer than the newest */
	FRAME_AWAY,  /* not in memory: load the block */
};
enum frame_state frames_get(struct frames *frames, int64_t seq, const struct frame **ret);
/* First entry of the block that `seq` belongs to. */
int64_t frames_block_first(int64_t seq);

/* What somebody wants to see. */
struct frame_filter {
	const char *environment;  /* NULL: any */
	const char *const *kinds; /* "run.ended", "step.*"; ends with NULL; NULL: any */
};
bool frame_filter_matches(const struct frame_filter *filter, const char *kind, const char *environment);

#endif
