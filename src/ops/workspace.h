/* A workspace: one project as an operation works on it: its file, its store, its workers, and who acts. One per thread. */
#ifndef OPS_WORKSPACE_H
#define OPS_WORKSPACE_H

#include "core/access.h"
#include "core/approval.h"
#include "core/call.h"
#include "core/executor.h"
#include "core/project.h"
#include "runner/process_executor.h"
#include "store/store.h"

#define PROJECT_FILE "unship.yaml"
#define STATE_DIR    ".deployments"

struct operation;

/* One request: what a handler is given. */
struct op {
	void *ctx;                   /* talloc: everything of this request */
	struct workspace *workspace; /* NULL only for operations that work anywhere */
	const struct catalogue *catalogue;
	const char *actor;                 /* "ana@laptop"; the principal's name where there is one */
	const struct principal *principal; /* NULL: the command line on the project's own store, where everything is permitted */
	const char *origin;                /* where the request came from: an address, "mcp", NULL: here */
	/* A server's: takes a run that was requested or is to be resumed, and carries it out on a thread of its own; the answer then tells the run as it stands. NULL: the calling thread carries it out. */
	int (*hand_over)(void *user, const char *environment, const char *run_id, struct err *err);
	/* A server's: is a refusal to be journalled, or was one like it just now? *ret_count: how many like it since the last that was. NULL: each is. */
	bool (*refusal_due)(void *user, const char *environment, const struct err *err, uint64_t *ret_count);
	/* Live view of a run; may be NULL. As in runner.h. */
	void (*watch)(void *user, const struct run *run, const struct entry *entry, const struct run_step *step, double share,
		const char *message);
	/* Words while an operation works ("observing 5 components"); may be NULL. */
	void (*tell)(void *user, const char *message);
	/* Asked before the first change with the whole answer so far (plan, differences, findings). 0: go on; ERR_CANCELLED: no. NULL: go on. */
	int (*confirm)(void *user, json_t *plan, struct err *err);
	bool (*interrupted)(void *user);
	void *user;

	/* Of the call that is going on; set by operation_call. */
	const struct operation *operation;
	json_t *input;
	enum permission permission;      /* that the operation needs: its own, or `plan` for a dry run */
	bool forced;                     /* the input says force */
	const struct approval *approval; /* it is carried out because people approved it (gate.h); NULL */
	const char *breakglass;          /* the open break-glass that it goes by; NULL */
};

struct workspace {
	const char *dir;  /* absolute directory of unship.yaml */
	const char *file; /* path of the project file */
	const struct catalogue *catalogue;
	struct project *project;   /* NULL until needed: workspace_project */
	struct problems *problems; /* of the project file */
	struct store *store;       /* NULL until needed: workspace_store */
	struct executor *executor; /* process executor of this thread */
	struct call_places places;
	struct snapshot_store *snapshots; /* NULL until needed: content_store */
	char **held;                      /* what is laid out of these ids is used (content.h) */
	size_t held_count;
	int open_lock;
	json_t *described; /* what unship-driver-NAME in PATH said of themselves, by name; NULL: none was asked yet */
	/* Given to the store when it is opened (store.h); NULL: nobody is told. */
	void (*committed)(void *user, int64_t took_us);
	void *committed_user;
};

/* Finds unship.yaml (or unship.json) in `dir` or the nearest parent that has one. Reads nothing else yet. ERR_NOT_FOUND says to run `unship init`. */
must_check int workspace_open(const void *ctx, const char *dir, const struct catalogue *catalogue, struct workspace **ret, struct err *err);
/* The project, checked: problems in it are ERR_INVALID with the first one's place and the number of the others. */
must_check int workspace_project(struct workspace *workspace, struct err *err);
must_check int workspace_store(struct workspace *workspace, struct err *err);
/* Project and store and the environment of that name. */
must_check int workspace_environment(struct workspace *workspace, const char *name, struct environment **ret, struct err *err);
/* What unship-driver-NAME answers to `describe`; asked once. */
must_check int workspace_describe(struct workspace *workspace, const char *driver, json_t **ret, struct err *err);
/* Kind and `keeps` of a driver: of the catalogue, or as it describes itself. */
must_check int workspace_driver_kind(struct workspace *workspace, const char *driver, enum driver_kind *ret, bool *ret_keeps,
	struct err *err);
/* A run by id or its beginning, or "" / NULL for the newest. Only what the caller may see, and may do with it what the operation does (permit.h). */
must_check int workspace_run_id(struct op *op, const char *given, const char **ret, struct err *err);

/* Observes all components (or those named in `only`) of an environment in parallel: {"api": {"version","state","healthy","details"}}. A component that cannot be observed has {"error": {"code","message"}}. Kept in ctx. */
must_check int workspace_observe(struct op *op, const struct environment *environment, const char *const *only, json_t **ret,
	struct err *err);
/* Runs the probes of an environment in parallel: [{"name","type","component","status","message","details"}]. Kept in op->ctx. *ret_failed: how many failed. */
must_check int workspace_probe(struct op *op, const struct environment *environment, json_t **ret, size_t *ret_failed, struct err *err);

#endif
