/* Drivers, probes and channels: what stands behind a component, a health check, a way to tell people. All three are workers: they run in a process
 * of their own, get one JSON request per line and answer with JSON lines (docs/driver-protocol.md). Built-in ones are the const
 * structs below, run by drivers/host.c in a child; others are programs named unship-driver-NAME in PATH.
 *
 * The verbs of a driver, and what each must keep:
 *   describe  what are your parameters, what can you do?                no effect
 *   observe   what is there now? With a target: is it there already?    no effect
 *   check     can it go to this target? findings                        no effect
 *   capture   save what undo and evidence need into snapshot_dir        writes there only; safe to repeat
 *   apply     go to the target                                          safe to repeat: does nothing when it is there already
 *   undo      return to what capture saved in snapshot_dir              safe to repeat
 *   sandbox   copy what is there now, for a rehearsal                   what is there is only read; an interrupted copy is never used
 *   unsandbox end and remove what of that copy runs or stands elsewhere also after an interrupted sandbox; safe to repeat
 * A driver may be killed at any point of any verb; observe, then apply or undo again, must then lead to the goal. */
#ifndef CORE_DRIVER_H
#define CORE_DRIVER_H

#include "base/log.h"
#include "core/finding.h"
#include "data/fields.h"

#define DRIVER_PROTOCOL_VERSION 1

/* What kind of thing a component is: decides in which phase of a rollback (P7) its steps stand. Order of the enum is the order of a generated plan:
 * flags, stop services, code, configuration, data, cache, start services, traffic. */
enum driver_kind { DRIVER_FLAGS, DRIVER_SERVICE, DRIVER_CODE, DRIVER_CONFIG, DRIVER_DATA, DRIVER_CACHE, DRIVER_TRAFFIC, DRIVER_COMMAND };
const char *driver_kind_name(enum driver_kind kind); /* "flags", "service", "code", "config", "data", "cache", "traffic", "command" */
must_check int driver_kind_parse(const char *text, enum driver_kind *ret, struct err *err);

struct driver_host; /* how a worker speaks to the runner: drivers/host.h */

struct driver_call {
	const void *params; /* the component's configuration, parsed by the driver's field table */
	json_t *component;  /* the same as written: {"name","driver",...} */
	const char *name;   /* of the component, or what the step is about ("flag use-new-api") */
	const char *environment;
	const char *project_dir; /* absolute; relative paths of the configuration start here */
	const char *state_dir;   /* absolute .deployments/ */
	const char *store;       /* the store's address, for the driver of unship's own flags */
	json_t *target;          /* {"version",...} or NULL. Other members by step type: "action", "targetState", "items", "tables", ... */
	json_t *step;            /* {"id","type","parameters"} of the step that this call is for; NULL outside of a run */
	json_t *sources;         /* for data steps: {"id of a snapshot or deployment": "absolute directory of its content"}, or NULL */
	const char *source_dir;  /* where the target's content was kept when it was recorded (capture's files), or NULL */
	json_t *observed;        /* what observe said last, or NULL */
	const char
		*snapshot_dir; /* capture writes there; undo reads there; observe without target compares with it. Absolute; may be NULL */
	const char *
		ledger_dir; /* apply and undo of data: what a restore takes away is written here before it (drivers/database.h). Absolute; NULL: nowhere */
	const char *sandbox_dir; /* sandbox, unsandbox: the folder of the copy, which is its project's; absolute */
	json_t *overrides;       /* sandbox, unsandbox: what the component's `sandbox:` says, or NULL */
	bool source_kept; /* check: the target's content is kept and sound, and too large to be laid out for a check: source_dir is NULL then */
	const char *idempotency_key; /* the same for every repetition of one attempt */
	const char *actor, *reason, *run_id;
	int64_t deadline_ms; /* monotonic; the runner kills at this time, a driver may end earlier by itself */
	void *ctx;           /* talloc: everything of this call */
	struct driver_host *host;
};

struct observation {
	const char *version; /* what runs or stands there; "" when nothing does */
	const char *state;   /* "running", "stopped", "present", ...; NULL when there is only the version */
	int healthy;         /* 1, 0, or -1: cannot say */
	int at_target;   /* 1 yes, 0 no; -1: the runner compares the versions. Against the target, or, without one, against snapshot_dir */
	json_t *details; /* object or NULL; facts for compatibility rules: "schema", "configKeys", "flags", "migration", "commit" */
};

struct driver {
	const char *name; /* as in the project file */
	const char *summary;
	enum driver_kind kind;
	const struct field *fields; /* of the component's configuration; "driver", "critical" and "needs" are not among them */
	size_t params_size;         /* sizeof the params struct */
	bool keeps;                 /* capture at record time keeps the content that a later rollback returns to */
	int (*observe)(struct driver_call *call, struct observation *ret, struct err *err);
	int (*apply)(struct driver_call *call, json_t *ret_outputs, struct err *err); /* outputs: members that later steps may name */
	/* Optional; NULL: no findings / nothing to capture / cannot be undone. */
	int (*check)(struct driver_call *call, struct findings *ret, struct err *err);
	int (*capture)(struct driver_call *call, struct err *err);
	int (*undo)(struct driver_call *call, struct err *err);
	/* For rehearsals (drivers/sandbox.h); NULL: it makes no copy of itself. *ret_config: the component's configuration with which the copy is
	 * used, kept in the call's context. ERR_UNSUPPORTED: it cannot be rehearsed as it is configured; the error says why. What is there now is
	 * read only. */
	int (*sandbox)(struct driver_call *call, json_t **ret_config, struct err *err);
	/* NULL: nothing of the copy stands outside of sandbox_dir, and nothing of it runs. The configuration is the real one. */
	int (*unsandbox)(struct driver_call *call, struct err *err);
};

/* For drivers: words to the run's log, and progress that people see (share 0..1, negative: unknown). Thread: the driver's only one. */
void call_log(struct driver_call *call, enum log_level level, const char *format, ...) printf_like(3, 4);
void call_progress(struct driver_call *call, double share, const char *format, ...) printf_like(3, 4);
/* Resolves a secret reference at the last moment and registers it for scrubbing. The string belongs to call->ctx. */
must_check int call_secret(struct driver_call *call, json_t *reference, const char **ret, struct err *err);

/* A health check. Runs in a child like a driver; no effect on what it looks at. */
enum probe_status { PROBE_PASS, PROBE_WARN, PROBE_FAIL };
struct probe_result {
	enum probe_status status;
	const char *message; /* one line */
	json_t *details;     /* object or NULL: "latencyMs", "perfdata", "httpStatus" */
};
struct probe {
	const char *name; /* type in the project file: http, tcp, process, exec */
	const char *summary;
	const struct field *fields; /* besides type, every, timeout, component */
	size_t params_size;
	int (*run)(struct driver_call *call, struct probe_result *ret, struct err *err);
};

/* A way to tell people. `recipients` are addresses in the channel's own form (URLs for webhook, names for in-app). */
struct message {
	const char *id;    /* the same for every repetition: receivers can drop duplicates */
	const char *event; /* start, progress, completed, failed, emergency, status, step */
	const char *text;
	const char **recipients; /* NULL-terminated */
	json_t *details;         /* object or NULL */
	const char *environment, *run_id;
	int64_t wall_ms;
};
struct channel {
	const char *name; /* in-app, webhook */
	const char *summary;
	const struct field *fields; /* of the channel's settings in a notify rule */
	size_t params_size;
	/* NULL when every text is a valid address. Called when a plan or the project file is checked. */
	int (*check_recipient)(const char *recipient, struct err *err);
	/* Delivers to one recipient. ERR_UNREACHABLE and ERR_TIMEOUT are tried again later. */
	int (*deliver)(struct driver_call *call, const struct message *message, const char *recipient, struct err *err);
};

/* What there is; main.c fills it from drivers/list.h, probes/list.h and channels/list.h. Arrays end with NULL. */
struct catalogue {
	const struct driver *const *drivers;
	const struct probe *const *probes;
	const struct channel *const *channels;
};
/* Can it take back what it did, with this configuration? A driver that has a parameter `undo` can when that is given. */
bool driver_undoes(const struct driver *driver, const json_t *config);
const struct driver *catalogue_driver(const struct catalogue *catalogue, const char *name); /* NULL: not built in */
const struct probe *catalogue_probe(const struct catalogue *catalogue, const char *name);
const struct channel *catalogue_channel(const struct catalogue *catalogue, const char *name);

#endif
