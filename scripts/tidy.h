/* What clang-tidy is told about functions whose bodies it does not see; scripts/lint-tidy puts it in front of every file. Without it the
 * analyzer believes that err_set may return 0, and follows paths on which a failed call has filled its outputs. Never compiled. */
#ifndef SCRIPTS_TIDY_H
#define SCRIPTS_TIDY_H

#include "base/err.h"
#include "base/mem.h"

/* Errors are negative. */
#define err_set(err, code, ...) ((void)err_set(err, code, __VA_ARGS__), -(int)(code))
#define err_errno(err, ...) ((void)err_errno(err, __VA_ARGS__), -1)
#define err_in(err, ...) ((void)err_in(err, __VA_ARGS__), -1)
#define err_as(err, code) ((void)err_as(err, code), -(int)(code))

/* Memory is there, or the program has ended. */
static inline __attribute__((unused)) void *tidy_not_null(void *pointer)
{
	if (!pointer)
		__builtin_unreachable();
	return pointer;
}
#define mem_check(pointer) tidy_not_null(mem_check(pointer))

#endif
