/* Generates a plan from the difference between what is observed now and a target deployment (P4), in the phases of P7: flags, drain services, stop them, requeue what they
 * had in their hands, code, configuration, data, cache, start services, resume them, traffic, verify. Pure.
 *
 * Order: every step of a phase needs those of the phase before; within one phase components run in parallel unless `needs` orders them (services stop in reverse, start in order). Critical
 * components come first in every phase where `needs` allows: steps of the phase that are not critical need the critical ones (H5, property 11), and a service that a critical component needs counts as critical.
 * A service is stopped and started when its own version differs or when something that it needs, directly or not, is taken back. Data components take part only without preserve_data. Flags: one step per flag whose state differs.
 * A service that is stopped is started when it ran with the target, and left alone when it did not. Data that is to go back is restored also when its version is the same. Caches are cleared when
 * anything but flags goes back. Data that is preserved may still have its schema taken back by the user's tool (migrating.h): that is a data step too, so it stands after the code and while what needs it is stopped. With `only`, other components stay as they are, also services that would be restarted: not_reverted says so.
 * Ids of steps: <verb>-<component>, with the verbs drain, stop, requeue, resume (services), release (code), restore (configuration, data), migrate (schemas), clear, start, shift (traffic); flag-<key>; verify.
 * An order that others imply is not written: a step that waits for one of its own phase does not name those of the phase before.
 * The last step (type health) runs the probes of the touched components and of those that need them, unless there are none. */
#ifndef CORE_GENERATE_H
#define CORE_GENERATE_H

#include "core/deployment.h"
#include "core/plan.h"

struct difference {
	const char *component, *kind; /* kind of its driver; what changes reads "from -> to" */
	const char *from, *to;        /* versions; for services also states: the one now, and the one when all is done */
	const char *note;             /* "stays: data is preserved", "restart", "restart: needs code"; NULL */
	bool changes;
	json_t *items; /* e.g. flags or schema changes: [{name, from, to}]; NULL */
};

struct generate_input {
	const struct environment *environment;
	const struct deployment *target;
	const char *present_id; /* deployment that runs now; may be NULL */
	json_t *present;        /* components as recorded with it; may be NULL */
	json_t *observed;       /* component -> {"version","state","details"} */
	enum driver_kind (*kind_of)(void *user, const char *driver);
	void *user;
	const char **only; /* components to take back; NULL: all */
	bool preserve_data;
	bool immediate; /* services are stopped without being drained */
};

struct generated {
	struct plan *plan; /* plan->step_count 0: nothing to do */
	json_t *document;  /* the plan as JSON */
	struct difference *differences;
	size_t difference_count;
	const char **not_reverted; /* sentences: what this plan leaves as it is; NULL-terminated */
};

must_check int plan_generate(const void *ctx, const struct generate_input *input, struct generated *ret, struct err *err);
/* The hash that binds: SHA-256 over the canonical plan, the environment, and version and state observed of each component that the plan touches. */
char *plan_hash(const void *ctx, const struct plan *plan, const char *environment, json_t *observed);
/* What the run must find again: {"component": {"version","state"}, "flag KEY": {"version": its state}} of the touched ones. New reference. */
json_t *plan_expected(const struct plan *plan, json_t *observed);
/* The touched components ({name: true}) and those that use them, directly or not, in the same form. New reference. */
json_t *plan_affected(const struct environment *environment, json_t *touched);
/* The components whose probes tell whether what was touched works: the touched ones ({name: true}) and those that use them, directly or not.
 * New reference; NULL: no probe is about any of them. */
json_t *plan_verified(const struct environment *environment, json_t *touched);
/* The names of the components that a plan touches, in order of first touch; NULL-terminated. */
const char **plan_components(const void *ctx, const struct plan *plan);

#endif
