/* The functions behind macros.h: failed assertions and cleanup handlers.
 * A failed assertion writes one line to stderr without allocating and aborts. No state; any thread. */
#include "base/macros.h"

#include <errno.h>
#include <talloc.h>

void assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "unship: broken invariant '%s' at %s:%d; this is a fault in unship, please report it\n", condition, file, line);
	abort();
}

void cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

void cleanup_free(void *pointer)
{
	void **variable = pointer;

	free(*variable);
	*variable = NULL;
}

void cleanup_fclose(FILE **file)
{
	int saved = errno;

	if (*file)
		(void)fclose(*file);
	*file = NULL;
	errno = saved;
}

void cleanup_talloc(void *pointer)
{
	void **variable = pointer;

	if (*variable)
		(void)talloc_free(*variable);
	*variable = NULL;
}
