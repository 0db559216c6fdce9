/* Problems found in one input: all of them, each with its place, so that a user mends a file in one go and not one error at a time. */
#ifndef DATA_PROBLEMS_H
#define DATA_PROBLEMS_H

#include "data/doc.h"

struct problem {
	enum err_code code;
	char *path;            /* "steps[3].timeout" */
	unsigned line, column; /* 0: unknown */
	char *text;
};

struct problems {
	const struct doc *doc; /* for the places; may be NULL */
	struct problem *list;
	size_t count; /* at most PROBLEMS_MAX are kept; `more` counts the rest */
	size_t more;
};

#define PROBLEMS_MAX 100

struct problems *problems_new(const void *ctx, const struct doc *doc);
void problems_add(struct problems *problems, enum err_code code, const char *path, const char *format, ...) printf_like(4, 5);
/* 0 when there are none; else sets `err` to the first one as "unship.yaml:12:5: text (and 3 more problems)" and returns its -code. */
must_check int problems_result(const struct problems *problems, struct err *err);
/* One line each: "unship.yaml:12:5: steps[3].timeout: text". */
/* As a problem document tells several (RFC 9457, the example of section 3): [{"detail","pointer": "#/steps/3/timeout","line","column"}]; places only where the document has them. New reference. */
json_t *problems_errors(const struct problems *problems);
char *problems_text(const void *ctx, const struct problems *problems);
json_t *problems_json(const struct problems *problems); /* new reference: [{code, path, line, column, message}] */

#endif
