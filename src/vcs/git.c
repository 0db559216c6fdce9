/* Loading libgit2 (git.h says why it is not linked). Once, for all threads; it stays loaded until the process ends. */
#include "vcs/git.h"

#include <pthread.h>

#include "base/library.h"

#define LIBRARY "libgit2.so." LIBGIT2_SOVERSION

static struct git api;
static struct err problem;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
	static const struct library_symbol symbols[] = {
#define X(name_) { "git_" #name_, &api.name_ },
		GIT_FUNCTIONS(X)
#undef X
	};

	if (library_load(LIBRARY, symbols, ARRAY_SIZE(symbols), &problem) == 0 && api.libgit2_init() < 0)
		(void)err_set(&problem, ERR_UNSUPPORTED, "%s cannot be initialised", LIBRARY);
}

int git_load(const struct git **ret, struct err *err)
{
	pthread_once(&once, load);
	if (problem.code)
		return err_set(err, ERR_UNSUPPORTED, "reading Git repositories needs libgit2: %s", problem.text);
	*ret = &api;
	return 0;
}

int64_t git_time_within(int64_t time_s)
{
	const int64_t first = -62135596800, last = 253402300799; /* 0001-01-01T00:00:00Z, 9999-12-31T23:59:59Z */

	return MIN(MAX(time_s, first), last);
}
