/* Single items of configuration files: read, set, removed, with everything else left as it is: comments, order, quotes, indentation.
 * Env files, JSON and YAML.
 *
 * Each editor finds the bytes of one value in the text and replaces them; then the new text is read again by the strict reader, and
 * when anything but the wanted value has changed, the edit is
 * refused. So an editor may be simple: what it gets wrong is never written. Messages name files, keys and places, never values: they
 * may be secrets. Pure; any thread. */
#ifndef DRIVERS_CONFIG_EDIT_H
#define DRIVERS_CONFIG_EDIT_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

enum config_format {
	CONFIG_OPAQUE, /* has no items */
	CONFIG_ENV,    /* .env, .env.*, *.env: NAME=value lines */
	CONFIG_JSON,   /* *.json */
	CONFIG_YAML,   /* *.yaml, *.yml */
};
enum config_format config_format(const char *path);

/* The value of an item, or NULL in *ret when it is not there; kept in ctx. `key` is a name in an env file, else a path as in data/doc.h
 * ("server.ports[0]"); a top-level key that has dots
 * itself is found too. Values of an env file are strings. ERR_INVALID when the text cannot be read, with its line and column. */
must_check int config_get(const void *ctx, enum config_format format, const char *text, const char *key, json_t **ret, struct err *err);
/* The text with the item set to `value`, or removed when it is NULL or null. What is so already comes back unchanged. Items of a list
 * are set, not removed.
 * ERR_UNSUPPORTED: cannot be done without touching something else. */
must_check int config_set(const void *ctx, enum config_format format, const char *text, const char *key, json_t *value, char **ret,
	struct err *err);
/* Adds "PREFIX + key": type ("string", "integer", "number", "boolean", "null", "list", "object" for empty ones) for each item. At most
 * CONFIG_KEYS_MAX. */
must_check int config_keys(enum config_format format, const char *text, const char *prefix, json_t *keys, struct err *err);
#define CONFIG_KEYS_MAX 5000u

/* ---- private to the config_*.c files ---- */

/* A part of a path: a key, or an index when key is NULL. */
struct config_part {
	char *key;
	size_t index;
};
struct config_path {
	struct config_part *parts;
	size_t count;
};

/* `text` with [start, end) replaced. */
char *config_splice(const void *ctx, const char *text, size_t start, size_t end, const char *replacement);
/* Nested objects of one member each around `value`, for parts [from, count); new reference, or NULL when one of them is an index. */
json_t *config_nest(const struct config_path *path, size_t from, json_t *value);
size_t config_line_start(const char *text, size_t at);
size_t config_line_end(const char *text, size_t at); /* of the line's content: before \r\n or \n */

/* The readers: new reference; an object for an empty text. */
must_check int config_env_read(const char *text, json_t **ret, struct err *err);
/* The editors. `value` NULL removes; it is known to differ from what is there. */
must_check int config_env_edit(const void *ctx, const char *text, const char *key, const char *value, char **ret, struct err *err);
must_check int config_json_edit(const void *ctx, const char *text, const struct config_path *path, json_t *value, char **ret,
	struct err *err);
must_check int config_yaml_edit(const void *ctx, const char *text, const struct config_path *path, json_t *value, char **ret,
	struct err *err);

#endif
