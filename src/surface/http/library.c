/* Opens the two libraries (library.h), once; the table is only read after that. */
#include "surface/http/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

struct http_library lib;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char problem[256];

struct symbol {
	const char *name;
	void *slot;
};

static bool fill(const char *file, const struct symbol *symbols, size_t count)
{
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		snprintf(problem, sizeof(problem), "%s cannot be loaded: %s", file, dlerror());
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol) {
			snprintf(problem, sizeof(problem), "%s has no function %s", file, symbols[i].name);
			return false;
		}
		memcpy(symbols[i].slot, &symbol, sizeof(symbol)); /* POSIX: a function pointer fits a void pointer */
	}
	return true;
}

static void load(void)
{
#define LIBRARY_SYMBOL(function) { #function, &lib.function },
	static const struct symbol http[] = { HTTP_FUNCTIONS(LIBRARY_SYMBOL) }, tls[] = { TLS_FUNCTIONS(LIBRARY_SYMBOL) };
#undef LIBRARY_SYMBOL

	if (fill("libmicrohttpd.so.12", http, ARRAY_SIZE(http)))
		(void)fill("libgnutls.so.30", tls, ARRAY_SIZE(tls));
}

int http_library_load(struct err *err)
{
	(void)pthread_once(&once, load);
	return problem[0] ? err_set(err, ERR_UNSUPPORTED, "%s", problem) : 0;
}
