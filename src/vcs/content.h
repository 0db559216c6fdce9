/* Private to vcs/: what the content of a file says. Pure. */
#ifndef VCS_CONTENT_H
#define VCS_CONTENT_H

#include "data/json.h"

#define CONTENT_MAX (8u << 20)

/* Name and version of package.json, composer.json, pyproject.toml ([project] or [tool.poetry]) or a VERSION file, chosen by the last part
 * of `path`. NULL: it does not say. */
must_check int content_manifest(const void *ctx, const char *path, const char *text, size_t size, const char **ret_name,
	const char **ret_version, struct err *err);
/* Names at the top of a configuration file (.json, .yaml, .yml; anything else: NAME=value lines), sorted, never values. New reference. */
must_check int content_keys(const char *path, const char *text, size_t size, json_t **ret, struct err *err);
/* A compiled contract: a JSON object with "abi". *ret_name: its contractName, else the file's. *ret_hash: SHA-256 of the canonical ABI.
 * Both NULL: it is something else, which need not even be JSON. */
void content_contract(const void *ctx, const char *path, const char *text, size_t size, const char **ret_name, const char **ret_hash);

#endif
