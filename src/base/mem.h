/* Memory is a tree (talloc): a request, a run or a plan owns all that it allocates, and one talloc_free ends it.
 * These wrappers abort when memory ends: a crash is a normal event here (the journal recovers), and in exchange every input has a
 * maximum size. `const char *` is borrowed, `char *` is owned by the context that it was made in. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <talloc.h>

#include "base/macros.h"

/* Never NULL. `ctx` may be NULL (top of a tree; free it with talloc_free or _cleanup_talloc_). */
#define mem_zero(ctx, type)         ((type *)mem_check(_talloc_zero((ctx), sizeof(type), #type)))
#define mem_array(ctx, type, count) ((type *)mem_check(_talloc_zero_array((ctx), sizeof(type), (unsigned)(count), #type "[]")))
/* Grows or shrinks; new elements are NOT cleared. */
#define mem_resize(ctx, pointer, type, count) \
	((type *)mem_check(_talloc_realloc_array((ctx), (pointer), sizeof(type), (unsigned)(count), #type "[]")))

void *mem_check(void *pointer);
void *mem_context(const void *parent);               /* an empty node of the tree */
char *mem_strdup(const void *ctx, const char *text); /* NULL gives NULL */
char *mem_strndup(const void *ctx, const char *text, size_t length);
char *mem_printf(const void *ctx, const char *format, ...) printf_like(2, 3);
char *mem_vprintf(const void *ctx, const char *format, va_list arguments) printf_like(2, 0);
/* Appends to a string made by these functions (may be NULL); returns it, possibly moved. */
char *mem_append(char *text, const char *more);
char *mem_appendf(char *text, const char *format, ...) printf_like(2, 3);
void *mem_dup(const void *ctx, const void *bytes, size_t size);

#endif
