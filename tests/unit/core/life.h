/* What the tests of run, engine and call share: a run grown entry by entry. */
#ifndef TESTS_CORE_LIFE_H
#define TESTS_CORE_LIFE_H

#include "given.h"

#include "core/engine.h"
#include "data/hash.h"

struct life {
	void *ctx;
	struct run *run;
	int64_t seq, wall_ms;
};

/* One more entry; its data in YAML. Returns what the fold says. */
static inline int life_try(struct life *life, const char *kind, const char *data, struct err *err)
{
	struct entry entry = { .seq = ++life->seq,
		.id = "e",
		.wall_ms = life->wall_ms,
		.kind = kind,
		.environment = "production",
		.run = "run-1",
		.actor = "ana",
		.data = given(life->ctx, data) };

	if (!life->run)
		return run_fold(life->ctx, &entry, 1, &life->run, err);
	return run_apply(life->run, &entry, err);
}

static inline void life_add(struct life *life, const char *kind, const char *data)
{
	struct err err = ERR_INIT;

	if (life_try(life, kind, data, &err) < 0)
		fail_msg("%s %s: %s", kind, data, err.text);
}

static inline void life_refuse(struct life *life, const char *kind, const char *data)
{
	struct err err = ERR_INIT;

	assert_int_equal(life_try(life, kind, data, &err), -ERR_CORRUPT);
	assert_non_null(strstr(err.text, kind));
}

/* Requested with these steps (a YAML flow list) and policy. */
static inline struct life life_begin(const char *policy, const char *steps)
{
	struct life life = { .ctx = mem_context(NULL), .wall_ms = 1000000 };
	_cleanup_talloc_ char *data = mem_printf(NULL,
		"{plan: {id: p, name: P, onFailure: %s, steps: %s}, reason: r, "
		"context: {environment: production, trigger: manual, triggeredBy: ana, metadata: {ticket: T1}}}",
		policy, steps);

	life_add(&life, ENTRY_RUN_REQUESTED, data);
	return life;
}

static inline void life_capture(struct life *life, const char *step, const char *version)
{
	_cleanup_talloc_ char *data = mem_printf(NULL, "{step: %s, subject: s, attempt: 1, observed: {version: '%s', state: running}}",
		step, version);

	life_add(life, ENTRY_STEP_CAPTURED, data);
}

/* Everything captured, snapshot taken. */
static inline void life_ready(struct life *life)
{
	life_add(life, ENTRY_RUN_STARTED, "{holder: h, resumed: false}");
	for (size_t i = 0; i < life->run->plan->step_count; i++)
		if (life->run->steps[i].captures)
			life_capture(life, life->run->plan->steps[i].id, "v1");
	life_add(life, ENTRY_SNAPSHOT_TAKEN, "{snapshot: run-1}");
}

static inline void life_step(struct life *life, const char *kind, const char *step, const char *verb, int attempt, const char *more)
{
	_cleanup_talloc_ char *data = mem_printf(NULL, "{step: %s, verb: %s, attempt: %d%s}", step, verb, attempt, more);

	life_add(life, kind, data);
}

static inline void life_begun(struct life *life, const char *step, const char *verb, int attempt)
{
	life_step(life, ENTRY_STEP_BEGUN, step, verb, attempt, "");
}

static inline void life_ended(struct life *life, const char *step, const char *verb, int attempt, const char *outcome)
{
	_cleanup_talloc_ char *more = mem_printf(NULL, ", outcome: %s, code: driver, message: it broke", outcome);

	life_step(life, ENTRY_STEP_ENDED, step, verb, attempt, more);
}

static inline void life_done(struct life *life, const char *step)
{
	life_begun(life, step, "apply", run_step(life->run, step)->attempts + 1);
	life_ended(life, step, "apply", run_step(life->run, step)->attempts, "done");
}

/* What the engine decides, as words: "call capture a 1; wait". */
static inline const char *life_next(struct life *life)
{
	static const char *const kinds[] = { "call", "seal", "notify", "probe", "ask", "stop", "wait", "end" };
	struct decision decisions[ENGINE_DECISIONS_MAX];
	char *text = mem_strdup(life->ctx, "");
	size_t count;

	count = engine_next(life->run, life->wall_ms, decisions);
	assert_in_range(count, 1, ENGINE_DECISIONS_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct decision *d = &decisions[i];

		text = mem_appendf(text, "%s%s", i ? "; " : "", kinds[d->kind]);
		if (d->kind == DECIDE_CALL)
			text = mem_appendf(text, " %s", verb_name(d->verb));
		if (d->step)
			text = mem_appendf(text, " %s", d->step->step->id);
		if (d->kind == DECIDE_CALL && d->verb != VERB_OBSERVE)
			text = mem_appendf(text, " %d%s", d->attempt, d->again ? " again" : "");
		if (d->kind == DECIDE_ASK)
			text = mem_append(text, d->question == WAIT_UNKNOWN ? " unknown" : " approval");
		if (d->kind == DECIDE_END)
			text = mem_appendf(text, " %s", run_status_name(d->status));
		if (d->kind == DECIDE_WAIT && d->until_ms)
			text = mem_append(text, " until");
	}
	return text;
}

static inline void life_end(struct life *life)
{
	talloc_free(life->ctx);
}

#define A "{id: a, type: deployment, parameters: {service: api, version: v2, environment: production}}"
#define B "{id: b, type: deployment, parameters: {service: web, version: v2, environment: production}}"
#define C "{id: c, type: deployment, parameters: {service: api, version: v3, environment: production}}"

static inline int life_setup(void **state)
{
	json_setup();
	hash_setup();
	return 0;
}

#endif
