/* A document: JSON or YAML in one tree (jansson), with the place of every value, so that each error can say file:line:column.
 *
 * JSON is parsed by jansson (strict: no duplicate keys, UTF-8, depth limit); YAML by libyaml's event parser into the same tree, with the
 * core schema's plain scalars (null, true/false, integers, decimals; everything else is a string; "yes" and "on" are strings), duplicate keys
 * refused, aliases counted against a limit and expanded within it (a "YAML bomb" ends in ERR_TOO_LARGE), depth limited, tags other than the core ones refused,
 * one document only, merge keys (<<) supported. An empty document is an error that says so.
 *
 * A path names a value: "steps[3].parameters.service"; "" is the root. Keys with other characters than [A-Za-z0-9_-] are written ["a.b"]. */
#ifndef DATA_DOC_H
#define DATA_DOC_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

#define DOC_SIZE_MAX  (16u << 20)
#define DOC_DEPTH_MAX 64
#define DOC_NODES_MAX 2000000u

struct doc; /* talloc; owns its tree */

/* File name ending in .json: JSON; anything else: YAML. `name` in messages is the path as given. */
must_check int doc_load(const void *ctx, const char *path, struct doc **ret, struct err *err);
must_check int doc_parse_json(const void *ctx, const char *name, const char *text, size_t size, struct doc **ret, struct err *err);
must_check int doc_parse_yaml(const void *ctx, const char *name, const char *text, size_t size, struct doc **ret, struct err *err);
/* A document around a tree made by the program (no places). Takes a new reference. */
struct doc *doc_wrap(const void *ctx, const char *name, json_t *root);

json_t *doc_root(const struct doc *doc); /* borrowed */
const char *doc_name(const struct doc *doc);
/* Place of the value (of its key, for a member of an object); of the nearest known ancestor when unknown; false when there is none. */
bool doc_place(const struct doc *doc, const char *path, unsigned *ret_line, unsigned *ret_column);
/* Borrowed value at a path, or NULL. */
json_t *doc_get(const struct doc *doc, const char *path);

/* Path arithmetic: doc_path(ctx, "steps[3]", "timeout") -> "steps[3].timeout"; doc_path_index(ctx, "steps", 3) -> "steps[3]". */
char *doc_path(const void *ctx, const char *base, const char *key);
char *doc_path_index(const void *ctx, const char *base, size_t index);

#endif
