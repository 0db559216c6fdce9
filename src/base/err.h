/* Errors: one value on the caller's stack, from one table (errors.def).
 *
 * A function that can fail returns 0 or a negative code and takes `struct err *err` as its last argument. The function that
 * meets the cause calls err_set (or err_errno); each level above adds where it was with err_in, which puts its words in
 * front: "component 'api': service 'web': connection refused". The cause is never lost: when the text grows too long,
 * it is the context that is shortened. A function either logs an error or returns it, never both; the top logs.
 *
 *     r = compose_read(p, &file, err);
 *     if (r < 0)
 *             return err_in(err, "component '%s'", name);
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/macros.h"

enum err_code {
	ERR_NONE = 0,
#define ERROR(name, text, http, exit_code, hint) ERR_##name,
#include "base/errors.def"
#undef ERROR
	ERR_COUNT
};

#define ERR_TEXT_MAX 2048

struct err {
	enum err_code code;
	unsigned line, column; /* place in the input file, counted from 1; 0: no place */
	bool advised;          /* the text says what to do: the table's hint would not fit (err_advised) */
	char text[ERR_TEXT_MAX];
};

#define ERR_INIT ((struct err){ .code = ERR_NONE })

struct err_info {
	const char *name; /* "not-found": stable, for machines */
	const char *text; /* "not found": a title for people */
	int http_status;
	int exit_code;
	const char *hint; /* what the user can do */
};

/* Sets the cause; replaces whatever `err` held. Returns -code, so that callers can `return err_set(...)`. Control characters in the
 * formatted text are written as \xNN. Registered secrets are not scrubbed here but where the text leaves the process (log, answer). */
int err_set(struct err *err, enum err_code code, const char *format, ...) printf_like(3, 4);

/* The same from an errno value: "text: No such file or directory". ENOSPC and EDQUOT become ERR_NO_SPACE, ENOENT ERR_NOT_FOUND,
 * EROFS, EACCES and the rest ERR_IO. */
int err_errno(struct err *err, int error_number, const char *format, ...) printf_like(3, 4);

/* Puts context in front of the text: "context: text". Returns -err->code. */
int err_in(struct err *err, const char *format, ...) printf_like(2, 3);

/* Says that the text itself tells the user what to do, so that the table's hint is not shown beside it. Returns -err->code. */
int err_advised(struct err *err);

/* Changes the code, keeps the text (a connection refused that means "store unreachable"). Returns -code. */
int err_as(struct err *err, enum err_code code);

/* Never NULL; an unknown code is described as ERR_INTERNAL. */
const struct err_info *err_info(enum err_code code);

/* Code from its stable name ("not-found"); ERR_INTERNAL when unknown (a driver may say anything). */
enum err_code err_from_name(const char *name);

#endif
