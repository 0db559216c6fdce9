/* Scrubbing of registered secrets (base/log.h) from a JSON value before it leaves a process. Done on the tree and not on its text, so
 * that a secret that
 * happens to be a word of the protocol ("done", "version") cannot break the form of the answer. */
#ifndef DATA_REDACT_H
#define DATA_REDACT_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

/* A copy in which every string value, and every key more than `plain_keys` levels below the root, is scrubbed. New reference. */
json_t *json_redact(const json_t *value, unsigned plain_keys);

/* Registers what the secret references {env}, {file} (relative to `dir`) and {credential} inside a value stand for, where it can be
 * read: for whoever passes on output of
 * a program that resolves them by itself. What cannot be read is skipped: nobody can have printed it. */
void json_register_secrets(const json_t *value, const char *dir);

/* The value of a secret reference, without the line end of a file, in ctx; {file} is relative to `dir`, where a {command} runs, too. Registers it for scrubbing. ERR_INVALID, ERR_NOT_FOUND, ERR_IO. */
must_check int json_read_secret(const void *ctx, const json_t *reference, const char *dir, const char **ret, struct err *err);

/* Calls `visit` with the kind ("env", "file", "credential") and the name of every secret reference inside a value. */
void json_visit_secrets(const json_t *value, void (*visit)(void *user, const char *kind, const char *name), void *user);

#endif
