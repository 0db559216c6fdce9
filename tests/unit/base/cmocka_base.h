/* What every test of base/ includes: cmocka with the headers that it wants before it, and a temporary folder per test. */
#ifndef TESTS_CMOCKA_BASE_H
#define TESTS_CMOCKA_BASE_H

#include "checks.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

/* *state is a talloc context whose name is the path of an empty folder. */
static int unused_arg folder_setup(void **state)
{
	const char *base = getenv("TMPDIR");
	char *path = mem_printf(NULL, "%s/unship-test-XXXXXX", base ? base : "/tmp");

	if (!mkdtemp(path))
		return -1;
	*state = path;
	return 0;
}

static int unused_arg folder_teardown(void **state)
{
	struct err error = ERR_INIT;
	int r = fs_remove_tree(*state, &error);

	(void)talloc_free(*state);
	return r;
}

#endif
