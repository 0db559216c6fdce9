/* Paths as text. Pure: the rooms that may not touch the disk (core) use these. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include "base/mem.h"

/* Joins with one slash; an absolute `b` is returned alone. */
char *fs_join(const void *ctx, const char *a, const char *b);
/* True for a relative path without "..", empty parts or a leading slash: safe to join under a root. */
bool fs_is_inside(const char *relative);

#endif
