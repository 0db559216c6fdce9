/* talloc with an abort where memory ends (docs/architecture.md: a crash is a normal event, the journal recovers).
 * Threads: a talloc tree belongs to one thread at a time; trees of different threads share nothing. */
#include "base/mem.h"

void *mem_check(void *pointer)
{
	if (!pointer) {
		static const char message[] = "unship: out of memory\n";

		(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
		abort();
	}
	return pointer;
}

void *mem_context(const void *parent)
{
	/* Of one byte, not none: a pointer behind the end of its block is no pointer to it for leak checkers. */
	return mem_check(talloc_named_const(parent, 1, "context"));
}

char *mem_strdup(const void *ctx, const char *text)
{
	return text ? mem_check(talloc_strdup(ctx, text)) : NULL;
}

char *mem_strndup(const void *ctx, const char *text, size_t length)
{
	return text ? mem_check(talloc_strndup(ctx, text, length)) : NULL;
}

char *mem_vprintf(const void *ctx, const char *format, va_list arguments)
{
	return mem_check(talloc_vasprintf(ctx, format, arguments));
}

char *mem_printf(const void *ctx, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = mem_vprintf(ctx, format, arguments);
	va_end(arguments);
	return text;
}

char *mem_append(char *text, const char *more)
{
	return mem_check(talloc_strdup_append_buffer(text, more));
}

char *mem_appendf(char *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text = mem_check(talloc_vasprintf_append_buffer(text, format, arguments));
	va_end(arguments);
	return text;
}

void *mem_dup(const void *ctx, const void *bytes, size_t size)
{
	/* One byte at least: talloc gives a valid node for 0 bytes too, but memcpy from NULL is not allowed. */
	char *copy = mem_check(talloc_size(ctx, MAX(size, (size_t)1)));

	if (size > 0)
		memcpy(copy, bytes, size);
	return copy;
}
