/* Libraries that only some work needs, opened when it begins: linking them would cost every start of the program and every worker. Call it from pthread_once or from a process of one thread. */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include "base/err.h"

struct library_symbol {
	const char *name;
	void *slot; /* address of a function pointer */
};

/* Opens `file` ("libpq.so.5") and fills all slots. It stays open until the process ends. ERR_UNSUPPORTED names the file or the function that is missing. */
must_check int library_load(const char *file, const struct library_symbol *symbols, size_t count, struct err *err);

#endif
