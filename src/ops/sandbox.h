/* The copy of an environment that a rehearsal runs in (docs/drill.md): a project of its own, with a store of its own, in .deployments/drill/{id}/.
 *
 *     drill.json    which rehearsal this is, and what must be ended: written before anything is made
 *     unship.json   the project file of the copy, made from what the drivers answered (verb `sandbox`)
 *     ...           the copies, at the paths that they have in the project
 *
 * Whoever makes or removes one holds the lock of rehearsals (sandbox_lock). What an interrupted rehearsal left is found by its folder. */
#ifndef OPS_SANDBOX_H
#define OPS_SANDBOX_H

#include "ops/operation.h"

struct sandbox {
	const char *id, *dir;
	const struct environment *environment; /* the real one */
	json_t *rehearsed;                     /* names of components */
	json_t *left_out;                      /* [{"component" or "probe", "why"}] */
	struct op op;                          /* for operations in the copy; its workspace is closed by sandbox_close */
};

/* Until the descriptor is closed. ERR_CONFLICT: another rehearsal is going on. */
must_check int sandbox_lock(struct op *op, int *ret_fd, struct err *err);
/* Copies what runs now. `note`: what is to be known of the rehearsal when it is interrupted; an object, kept in drill.json. On failure *ret is set as soon as there is something to remove. */
must_check int sandbox_make(struct op *op, const struct environment *environment, const char *id, json_t *note, struct sandbox **ret,
	struct err *err);
/* Makes a deployment of the real journal known in the copy, with what was kept of its components. */
must_check int sandbox_adopt(struct op *op, struct sandbox *sandbox, const struct deployment *deployment, struct err *err);
void sandbox_close(struct sandbox *sandbox);

/* Folders of copies that are there, as names; NULL-terminated, in ctx. */
must_check int sandbox_list(struct op *op, const void *ctx, char ***ret, struct err *err);
/* The note of one; *ret NULL: it was interrupted before there was one, so nothing else was made. */
must_check int sandbox_note(struct op *op, const char *id, json_t **ret, struct err *err);
/* Ends what runs of it and removes everything but its note. Safe to repeat. */
must_check int sandbox_end(struct op *op, const char *id, struct err *err);
/* Removes the rest. */
must_check int sandbox_forget(struct op *op, const char *id, struct err *err);

#endif
