/* Templates: ${name.with.dots} in strings of a plan. There are names and nothing else: no calls, no operators. $${ writes a literal ${.
 * A name is [A-Za-z_][A-Za-z0-9_-]* parts joined by dots. An unclosed or empty ${ is an error with its offset. */
#ifndef DATA_TEMPLATE_H
#define DATA_TEMPLATE_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

#define TEMPLATE_RESULT_MAX (1u << 20)

/* Gives the value of a name (borrowed) or NULL when it is unknown. */
typedef json_t *(*template_lookup)(void *user, const char *name);
/* Called for each name in a value, with the path of the string it stands in (relative, as in doc.h). Non-zero stops and is returned. */
typedef int (*template_visit)(void *user, const char *path, const char *name);

/* Expands all strings inside a value (arrays and objects too; keys are left alone). A string that is exactly one ${name} becomes
 * that value with its type; inside other text, strings, numbers and booleans are written as text, anything else is an error. What is put in
 * is never expanded again. All that is made together has at most TEMPLATE_RESULT_MAX bytes. An unknown name is ERR_INVALID "unknown name
 * 'context.foo'" with the nearest of `known` (may be NULL). Kept in ctx. */
must_check int template_expand(const void *ctx, json_t *value, template_lookup lookup, void *user, const char *const *known, json_t **ret,
	struct err *err);
/* Visits every name; ERR_INVALID for bad syntax. */
must_check int template_names(json_t *value, template_visit visit, void *user, struct err *err);
bool template_has(const char *text);

#endif
