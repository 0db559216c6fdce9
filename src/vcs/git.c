/* Loading libgit2 (git.h says why it is not linked). Once, for all threads; it stays loaded until the process ends. */
#include "vcs/git.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#define LIBRARY "libgit2.so." LIBGIT2_SOVERSION

static struct git api;
static char problem[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
	static const struct {
		const char *name;
		void *slot;
	} symbols[] = {
#define X(name_) { "git_" #name_, &api.name_ },
		GIT_FUNCTIONS(X)
#undef X
	};
	void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);

	if (!library) {
		snprintf(problem, sizeof(problem), "%s cannot be loaded: %s", LIBRARY, dlerror());
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol) {
			snprintf(problem, sizeof(problem), "%s has no function %s", LIBRARY, symbols[i].name);
			return;
		}
		memcpy(symbols[i].slot, &symbol, sizeof(symbol)); /* POSIX: a function pointer fits a void pointer */
	}
	if (api.libgit2_init() < 0)
		snprintf(problem, sizeof(problem), "%s cannot be initialised", LIBRARY);
}

int git_load(const struct git **ret, struct err *err)
{
	pthread_once(&once, load);
	if (*problem)
		return err_set(err, ERR_UNSUPPORTED, "reading Git repositories needs libgit2: %s", problem);
	*ret = &api;
	return 0;
}

int64_t git_time_within(int64_t time_s)
{
	const int64_t first = -62135596800, last = 253402300799; /* 0001-01-01T00:00:00Z, 9999-12-31T23:59:59Z */

	return MIN(MAX(time_s, first), last);
}
