/* What the caller of an operation may, and what they may see. operation_call asks before every handler (op_permit_call); whoever finds
 * something by an id asks again (op_found), for only then the environment
 * is known; and what is listed is limited to what may be seen (op_sees, op_runs, op_entries). Every refusal is an entry. */
#ifndef OPS_PERMIT_H
#define OPS_PERMIT_H

#include "ops/operation.h"
#include "store/access.h"

#define FRESH_MS \
	(15 * 60 * 1000) /* how long somebody who proved who they are is taken at their word for `force` and what administrators change */

/* Before the handler: permission in the environment that the input names, or anywhere, or (operation->everywhere) in all; fresh
 * authentication where that is wanted. Sets what operation_call keeps in op. */
must_check int op_permit_call(struct op *op, const struct operation *operation, json_t *input, struct err *err);
/* The least that some call of it needs: a dry run of what executes is planning. For those who ask before they know the input. */
enum permission operation_least_permission(const struct operation *operation);
/* For a handler that learns only now which environment it is about. With an input that says `force`, also that. */
must_check int op_permit(struct op *op, enum permission permission, const char *environment, struct err *err);
bool op_sees(const struct op *op, const char *environment);
bool op_sees_all(const struct op *op);
/* After `given` was looked up, with the result r: may they see it, and may they do there what they are about to do? Who may not see it
 * gets the words for what is not there. */
must_check int op_found(struct op *op, int r, const char *what, const char *given, const char *environment, struct err *err);

/* The newest runs, and entries, that the caller may see; environment NULL: of all of them. */
must_check int op_runs(struct op *op, const char *environment, struct page page, struct run_row **ret, size_t *ret_count, struct err *err);
must_check int op_entries(struct op *op, const struct entry_filter *filter, struct entry **ret, size_t *ret_count, struct err *err);

/* Journals a refusal that is in `err`, and returns it; or why it could not be journalled. environment may be NULL. */
int op_refused(struct op *op, const char *environment, struct err *err);

#define LOCAL_PERSON "local:"
/* Who counts as a person where people are counted: the principal's id, or "local:" and the actor of the local command line. */
const char *op_person(const struct op *op);

#endif
