/* Shared by the readers of documents (json_read.c, yaml.c, doc.c). Private to this folder. */
#ifndef DATA_READ_H
#define DATA_READ_H

#include "data/doc.h"
#include "data/places.h"

/* "name:line:column: text" and the place in `err`; `name` may be NULL. Returns -code. */
int read_error(struct err *err, enum err_code code, const char *name, unsigned line, unsigned column, const char *format, ...)
	printf_like(6, 7);

/* Line and column (in characters) of a byte offset. */
void read_locate(const char *text, size_t size, size_t offset, unsigned *ret_line, unsigned *ret_column);

/* What holds for every document: size, UTF-8, not empty. Skips a byte order mark: *text and *size move behind it. */
must_check int read_check_text(const char *name, const char **text, size_t *size, struct err *err);

/* New reference to the tree. `places` may be NULL. */
must_check int read_json(const char *name, const char *text, size_t size, struct places *places, json_t **ret, struct err *err);
must_check int read_yaml(const char *name, const char *text, size_t size, struct places *places, json_t **ret, struct err *err);

#endif
