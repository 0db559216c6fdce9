/* Room on a disk: see room.h. Threads: any. */
#include "drivers/room.h"

#include <fts.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"

void room_check(struct driver_call *call, const char *folder, uint64_t needed_bytes, struct findings *ret)
{
	struct err ignored = ERR_INIT;
	uint64_t free_bytes;
	struct stat status;

	if (stat(folder, &status) < 0 || fs_free_bytes(folder, &free_bytes, &ignored) < 0)
		return;
	findings_add(ret, "disk_space", free_bytes >= needed_bytes, SEVERITY_ERROR, call->name,
		json_make(call->ctx, "{s:s, s:I, s:I, s:I}", "folder", folder, "device", (json_int_t)status.st_dev, "neededBytes",
			(json_int_t)needed_bytes, "freeBytes", (json_int_t)free_bytes),
		"%s: %s are needed, %s are free", folder, text_format_size(call->ctx, needed_bytes),
		text_format_size(call->ctx, free_bytes));
}

uint64_t room_of_tree(const char *path, int64_t until_ms)
{
	_cleanup_talloc_ char *own = mem_strdup(NULL, path);
	char *const paths[] = { own, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	uint64_t bytes = 0;
	FTSENT *entry;

	while (walk && (entry = fts_read(walk)) && clock_mono_ms() < until_ms)
		if (entry->fts_info == FTS_F)
			bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
	if (walk)
		(void)fts_close(walk);
	return bytes;
}
