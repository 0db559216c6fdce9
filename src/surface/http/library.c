/* Opens the two libraries (library.h), once; the table is only read after that. */
#include "surface/http/library.h"

#include <pthread.h>

#include "base/library.h"

struct http_library lib;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct err problem;

static void load(void)
{
#define LIBRARY_SYMBOL(function) { #function, &lib.function },
	static const struct library_symbol http[] = { HTTP_FUNCTIONS(LIBRARY_SYMBOL) }, tls[] = { TLS_FUNCTIONS(LIBRARY_SYMBOL) };
#undef LIBRARY_SYMBOL

	if (library_load("libmicrohttpd.so.12", http, ARRAY_SIZE(http), &problem) == 0)
		(void)!library_load("libgnutls.so.30", tls, ARRAY_SIZE(tls), &problem);
}

int http_library_load(struct err *err)
{
	(void)pthread_once(&once, load);
	return problem.code ? err_set(err, problem.code, "%s", problem.text) : 0;
}
