/* A growing text, for the writers of this folder: appending costs what it adds, however long the text already is. */
#ifndef DATA_OUT_H
#define DATA_OUT_H

#include "base/mem.h"

struct out {
	char *text; /* talloc; always ends with a 0 byte */
	size_t length, size;
};

void out_start(struct out *out, const void *ctx);
void out_bytes(struct out *out, const char *bytes, size_t size);
void out_text(struct out *out, const char *text);
void out_char(struct out *out, char c);
void out_printf(struct out *out, const char *format, ...) printf_like(2, 3);
/* The text, in a block of exactly its size: mem_append appends at the end of the block. */
char *out_take(struct out *out);

#endif
