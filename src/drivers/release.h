/* What is known of a release directory: releases/ID has a file releases/ID.json beside it, written by git-release and read by whoever
 * runs what is in there (process). */
#ifndef DRIVERS_RELEASE_H
#define DRIVERS_RELEASE_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

struct release {
	const char *path;    /* resolved */
	const char *name;    /* its last part */
	const char *version; /* as it was asked for when it was made; the name when there is no file beside it */
	const char *commit;  /* NULL: not known */
	const char *subdir;  /* of the repository; NULL: all of it */
	int64_t created_ms;  /* 0: not known */
};

/* `path` may be a link to the release. ERR_NOT_FOUND when there is nothing. Everything in ctx. */
must_check int release_read(const void *ctx, const char *path, struct release *ret, struct err *err);
/* Writes the file beside `path` (the final path of the release, which need not exist yet). */
must_check int release_write(const char *path, const struct release *release, struct err *err);

#endif
