/* Opening libraries at run time (library.h). No state; any thread. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

int library_load(const char *file, const struct library_symbol *symbols, size_t count, struct err *err)
{
	void *library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);

	if (!library)
		return err_set(err, ERR_UNSUPPORTED, "%s cannot be loaded: %s", file, dlerror());
	for (size_t i = 0; i < count; i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol)
			return err_set(err, ERR_UNSUPPORTED, "%s has no function %s", file, symbols[i].name);
		memcpy(symbols[i].slot, &symbol, sizeof(symbol)); /* POSIX: a function pointer fits a void pointer */
	}
	return 0;
}
