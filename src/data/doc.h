/* A document: JSON or YAML in one tree (jansson), with the place of every value, so that each error can say file:line:column.
 *
 * JSON is read by jansson (strict: no duplicate keys, UTF-8, 64-bit integers, no \u0000).
 * YAML is read through libyaml's events into the same tree, with the core schema of YAML 1.2 for plain scalars:
 *     null        null Null NULL ~ and nothing at all
 *     boolean     true True TRUE false False FALSE ("yes", "no", "on", "off" are strings)
 *     integer     [-+]?[0-9]+ 0o[0-7]+ 0x[0-9a-fA-F]+ (so 0123 is the number 123); beyond 64 bits it is an error
 *     real        1.5 .5 1. 1e3; .inf and .nan are errors
 *     string      everything else ("1.5.2", "1_000", "12:30", "2026-01-01"), and everything in quotes
 * Keys are always strings, as written. Merge keys (<<) work. An alias is expanded into a copy; copies are counted (DOC_ALIAS_MAX), so
 * that a "YAML bomb" ends in ERR_TOO_LARGE; an alias inside of its own value is an error. Duplicate keys, tags other than those of the core
 * schema, 0 bytes in strings and a second document are errors; so is an empty document, which says so.
 *
 * A number that stands where text is wanted may have been text to its writer (version: 1.10). How it was written is kept: doc_written.
 *
 * A path names a value: "steps[3].parameters.service"; "" is the root. Keys with other characters than [A-Za-z0-9_-] are written ["a.b"],
 * with \" and \\ for a quote and a backslash. */
#ifndef DATA_DOC_H
#define DATA_DOC_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

#define DOC_SIZE_MAX  (16u << 20)
#define DOC_DEPTH_MAX 64
#define DOC_NODES_MAX 2000000u
#define DOC_KEY_MAX   1024    /* bytes of one key */
#define DOC_ALIAS_MAX 200000u /* values made by aliases; 64 bytes of text count as one more */

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
/* How the number or boolean at a path was written, when that differs from its text ("1.10" for 1.1, "0x1F" for 31, "True"); else NULL.
 * Borrowed. */
const char *doc_written(const struct doc *doc, const char *path);
/* Borrowed value at a path, or NULL. */
json_t *doc_get(const struct doc *doc, const char *path);

/* Path arithmetic: doc_path(ctx, "steps[3]", "timeout") -> "steps[3].timeout"; doc_path_index(ctx, "steps", 3) -> "steps[3]". */
char *doc_path(const void *ctx, const char *base, const char *key);
char *doc_path_index(const void *ctx, const char *base, size_t index);

#endif
