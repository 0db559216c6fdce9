/* Frames: see frames.h. Blocks stand in a map by their number and in a list by when they were last read. No threads. */
#include "surface/http/frames.h"

#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/text.h"
#include "data/json.h"
#include "data/redact.h"

struct block {
	int64_t index; /* of its first entry, counted in blocks */
	struct frame *frames[FRAMES_BLOCK];
	size_t bytes;
	struct block *prev, *next; /* by use, oldest first */
	UT_hash_handle hh;
};

struct frames {
	struct block *by_index, *by_use;
	size_t bytes, bytes_max;
	int64_t head;
};

struct frame *frame_make(const void *ctx, const struct entry *entry)
{
	json_t *whole = entry_json(entry), *clean = json_redact(whole, 1);
	struct frame *frame = mem_zero(ctx, struct frame);
	char *data = json_dumps(clean, JSON_COMPACT);

	assert_always(data != NULL);
	frame->seq = entry->seq;
	frame->kind = mem_strdup(frame, entry->kind);
	frame->environment = mem_strdup(frame, entry->environment);
	frame->text = mem_printf(frame, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)entry->seq, entry->kind, data);
	frame->size = strlen(frame->text);
	free(data);
	json_decref(clean);
	json_decref(whole);
	return frame;
}

static int frames_free(struct frames *frames)
{
	HASH_CLEAR(hh, frames->by_index); /* the blocks themselves are in the tree */
	return 0;
}

struct frames *frames_new(const void *ctx, size_t bytes_max, int64_t head)
{
	struct frames *frames = mem_zero(ctx, struct frames);

	talloc_set_destructor(frames, frames_free);
	frames->bytes_max = bytes_max;
	frames->head = head;
	return frames;
}

int64_t frames_head(const struct frames *frames)
{
	return frames->head;
}

size_t frames_bytes(const struct frames *frames)
{
	return frames->bytes;
}

int64_t frames_block_first(int64_t seq)
{
	return (seq - 1) / FRAMES_BLOCK * FRAMES_BLOCK + 1;
}

/* NOLINTNEXTLINE(readability-function-size): the macros of uthash nest deeply */
static struct block *find(const struct frames *frames, int64_t seq)
{
	int64_t index = (seq - 1) / FRAMES_BLOCK;
	struct block *block;

	HASH_FIND(hh, frames->by_index, &index, sizeof(index), block);
	return block;
}

static void used(struct frames *frames, struct block *block)
{
	if (block->next) {
		DL_DELETE(frames->by_use, block);
		DL_APPEND(frames->by_use, block);
	}
}

/* Away with what was not read for longest; `kept` and the newest block stay, whatever their size. */
static void make_room(struct frames *frames, const struct block *kept)
{
	struct block *newest = find(frames, frames->head), *block, *next;

	DL_FOREACH_SAFE(frames->by_use, block, next)
	{
		if (frames->bytes <= frames->bytes_max)
			return;
		if (block == kept || block == newest)
			continue;
		frames->bytes -= block->bytes;
		HASH_DEL(frames->by_index, block);
		DL_DELETE(frames->by_use, block);
		(void)talloc_free(block);
	}
}

/* NOLINTNEXTLINE(readability-function-size): the macros of uthash nest deeply */
void frames_add(struct frames *frames, struct frame *frame)
{
	struct block *block = find(frames, frame->seq);
	struct frame **place;

	if (!block) {
		block = mem_zero(frames, struct block);
		block->index = (frame->seq - 1) / FRAMES_BLOCK;
		HASH_ADD(hh, frames->by_index, index, sizeof(block->index), block);
		DL_APPEND(frames->by_use, block);
	}
	frames->head = MAX(frames->head, frame->seq);
	place = &block->frames[(frame->seq - 1) % FRAMES_BLOCK];
	if (*place) {
		(void)talloc_free(frame);
		return;
	}
	*place = talloc_steal(block, frame);
	block->bytes += frame->size;
	frames->bytes += frame->size;
	make_room(frames, block);
}

enum frame_state frames_get(struct frames *frames, int64_t seq, const struct frame **ret)
{
	struct block *block;

	if (seq > frames->head)
		return FRAME_LATER;
	block = find(frames, seq);
	if (!block || !block->frames[(seq - 1) % FRAMES_BLOCK])
		return FRAME_AWAY;
	used(frames, block);
	*ret = block->frames[(seq - 1) % FRAMES_BLOCK];
	return FRAME_HERE;
}

static bool kind_matches(const char *pattern, const char *kind)
{
	if (text_ends_with(pattern, ".*"))
		return !strncmp(pattern, kind, strlen(pattern) - 1);
	return !strcmp(pattern, kind);
}

bool frame_filter_matches(const struct frame_filter *filter, const char *kind, const char *environment)
{
	if (filter->environment && (!environment || strcmp(environment, filter->environment) != 0))
		return false;
	for (const char *const *pattern = filter->kinds; pattern && *pattern; pattern++)
		if (kind_matches(*pattern, kind))
			return true;
	return !filter->kinds;
}
