/* A growing text: doubles its block when it is full. Callers bound what they write (documents and templates have maximum sizes).
 * Threads: none; the caller owns the struct. */
#include "data/out.h"

void out_start(struct out *out, const void *ctx)
{
	out->size = 128;
	out->length = 0;
	out->text = mem_array(ctx, char, out->size);
}

void out_bytes(struct out *out, const char *bytes, size_t size)
{
	/* talloc counts in unsigned; far above every limit of this folder, so reaching it is a broken invariant. */
	assert_always(size < (1u << 30) && out->length + size < (1u << 30));
	if (out->length + size + 1 > out->size) {
		out->size = MAX(out->size * 2, out->length + size + 1);
		out->text = mem_resize(NULL, out->text, char, out->size);
	}
	if (size > 0)
		memcpy(out->text + out->length, bytes, size);
	out->length += size;
	out->text[out->length] = 0;
}

void out_text(struct out *out, const char *text)
{
	out_bytes(out, text, strlen(text));
}

void out_char(struct out *out, char c)
{
	out_bytes(out, &c, 1);
}

void out_printf(struct out *out, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = mem_vprintf(NULL, format, arguments);
	va_end(arguments);
	out_text(out, text);
	talloc_free(text);
}

char *out_take(struct out *out)
{
	char *text = mem_resize(NULL, out->text, char, out->length + 1);

	out->text = NULL;
	return text;
}
