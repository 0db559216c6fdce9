/* Paths as text: nothing here looks at the disk. */
#include "base/path.h"

#include <string.h>

char *fs_join(const void *ctx, const char *a, const char *b)
{
	size_t length = strlen(a);

	if (*b == '/' || length == 0)
		return mem_strdup(ctx, b);
	while (length > 0 && a[length - 1] == '/')
		length--;
	return mem_printf(ctx, "%.*s/%s", (int)length, a, b);
}

bool fs_is_inside(const char *relative)
{
	for (;;) {
		size_t length = strcspn(relative, "/");

		if (length == 0 || (length == 2 && relative[0] == '.' && relative[1] == '.'))
			return false;
		if (!relative[length])
			return true;
		relative += length + 1;
	}
}
