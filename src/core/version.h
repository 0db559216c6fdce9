/* Versions as people write them: SemVer 2.0.0 (https://semver.org, with an optional leading "v"), calendar versions (2026.11, 2026.11.21,
 * 26.4.1-rc1: first part a year of 2000 to 2099 or 15 to 99 with a month as second part, and two to four parts), plain SHAs (7 to 40 hex digits with at least one letter or 40 digits long), and anything else.
 * A text that is both SemVer and calendar ("2026.11.21") is a calendar version when its first part is 2000 or more. */
#ifndef CORE_VERSION_H
#define CORE_VERSION_H

#include "base/err.h"
#include "base/mem.h"

enum version_kind { VERSION_SEMVER, VERSION_CALENDAR, VERSION_SHA, VERSION_OTHER };

struct version {
	enum version_kind kind;
	const char *text;  /* as written, owned by the context of the parse */
	uint64_t parts[4]; /* major, minor, patch[, micro] or year, month, day, micro */
	unsigned part_count;
	const char *pre;   /* "rc.1", NULL when none */
	const char *build; /* "exp.sha.5114f85", NULL when none */
};

/* Any non-empty printable text of at most 256 bytes is some version; ERR_INVALID otherwise. */
must_check int version_parse(const void *ctx, const char *text, struct version *ret, struct err *err);
/* Precedence. True and -1, 0, 1 in *ret when both are of one ordered kind; false when they cannot be ordered (SHAs, others, mixed kinds). */
bool version_compare(const struct version *a, const struct version *b, int *ret);
/* True when a whole major line lies between the two (SemVer: 3.1.0 and 1.9.0; below 1.0.0 a minor one: 0.5.0 and 0.3.2). False for neighbours, and for other kinds. */
bool version_skips_major(const struct version *from, const struct version *to);
const char *version_kind_name(enum version_kind kind);

#endif
