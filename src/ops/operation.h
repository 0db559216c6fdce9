/* Operations: all that unship can do for somebody, each declared once. The command line, the HTTP server, the MCP server and the reference are projections of the
 * table `operations`; there is nothing the command line can do that the API cannot.
 *
 * An operation takes parameters by a field table and answers one JSON document. Its handler runs in a workspace (project, store, workers) and may report progress. Adding one: a row in
 * operations.c, its fields and handler in the file of its resource. */
#ifndef OPS_OPERATION_H
#define OPS_OPERATION_H

#include "core/access.h"
#include "data/fields.h"
#include "data/json.h"
#include "data/shape.h"
#include "ops/workspace.h"

struct operation {
	const char *name;          /* "deployments.record": resource.verb */
	const char *method, *path; /* "POST", "/environments/{environment}/deployments"; below /api/v1 */
	enum permission permission;
	const char *summary; /* one line */
	const struct field *fields;
	size_t params_size;
	bool fresh; /* whoever comes by a session must have proved lately who they are; so for `force`, and what needs administer or emergency */
	bool everywhere; /* is about all environments: the permission is needed in all of them */
	bool anywhere;   /* works without a project: op->workspace may be NULL */
	bool local;      /* the command line in the project's directory only: it works on the caller's files */
	bool destructive,
		idempotent; /* for callers that are machines: may take away what cannot be had back; calling it twice does no more than once. GET: neither, and both */
	bool creates;               /* something that has an id of its own from then on: 201 over HTTP */
	const struct shape *answer; /* members of the answer; NULL: not described yet */
	/* *ret: the answer, kept in op->ctx. An error may come with an answer too (a refused rollback still tells its findings): *ret is then set as well. */
	int (*handler)(struct op *op, const void *params, json_t **ret, struct err *err);
};

extern const struct operation *const operations[];        /* ends with NULL */
const struct operation *operation_find(const char *name); /* NULL */

/* Parses `input` (an object; NULL: empty) by the operation's fields, asks whether the caller may (permit.h) and calls its handler. *ret may be NULL when there is no answer. */
must_check int operation_call(struct op *op, const struct operation *operation, json_t *input, json_t **ret, struct err *err);

/* The last argument may be followed by members as `.anywhere = true`. */
#define OPERATION(symbol_, name_, method_, path_, permission_, summary_, fields_, params_, ...) \
	const struct operation symbol_ = { \
		.name = (name_), \
		.method = (method_), \
		.path = (path_), \
		.permission = (permission_), \
		.summary = (summary_), \
		.fields = (fields_), \
		.params_size = sizeof(params_), \
		.handler = __VA_ARGS__, \
	}

/* Entries as the API shows them; new reference. */
json_t *entries_json(const struct entry *entries, size_t count); /* new reference */

#endif
