/* runner.c and its files, on a journal in memory and workers that answer by a script: what is written, in which order, in how many
 * transactions, and what stops it. The simulator (tests/sim) does the rest. */
#include "checks.h"

#include "data/hash.h"
#include "data/json.h"
#include "runner/runner.h"

#define WORKS_MAX 32

/* Journal, executor and clock in one; time passes only in wait. */
struct stage {
	struct journal journal; /* first two: the runner's view */
	struct executor executor;
	void *ctx;
	struct entry entries[200];
	size_t count, appends, soon, settled;
	bool unsettled;    /* what was appended last may be lost with the power */
	bool store_failed; /* the last time */
	int64_t now_ms, token;
	struct {
		uint64_t id;
		json_t *request;
		int64_t end_ms;
		bool stopped;
	} works[WORKS_MAX];
	size_t work_count, stops;
	char *calls; /* "capture api; apply api; ..." */
	/* Script. */
	size_t fail_append;    /* this append fails ... */
	bool fail_after;       /* ... after it was done */
	size_t fail_settle;    /* so many times settling fails */
	size_t steal_after;    /* after so many appends somebody else has the claim */
	const char *cancel_at; /* a call like this is cancelled by somebody while it runs */
	const char *fails;     /* calls like this fail for good */
	const char *hangs;     /* calls like this never end by themselves */
	int unhealthy;         /* so many probes fail first */
	bool interrupt;
	bool full;         /* the snapshot cannot be written */
	char *versions[2]; /* of api and web */
};

static struct stage *stage_of(void *pointer, size_t offset)
{
	return (struct stage *)((char *)pointer - offset);
}
#define OF_JOURNAL(journal)   stage_of((journal), offsetof(struct stage, journal))
#define OF_EXECUTOR(executor) stage_of((executor), offsetof(struct stage, executor))

static void write_entry(struct stage *stage, struct entry *entry)
{
	assert_true(stage->count < ARRAY_SIZE(stage->entries));
	entry->seq = (int64_t)stage->count + 1;
	entry->wall_ms = entry->wall_ms ? entry->wall_ms : stage->now_ms;
	entry->id = mem_strdup(stage->ctx, entry->id ? entry->id : "by-others");
	entry->data = json_keep(stage->ctx, json_deep_copy(entry->data));
	stage->entries[stage->count++] = *entry;
}

static void by_others(struct stage *stage, const char *kind, json_t *data)
{
	struct entry entry = { .kind = kind, .environment = "production", .run = "run-1", .actor = "bob", .data = data };

	write_entry(stage, &entry);
}

static int op_append(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err)
{
	struct stage *stage = OF_JOURNAL(journal);
	bool fails = ++stage->appends == stage->fail_append;

	stage->store_failed = fails;
	assert_non_null(fence); /* nothing of a runner is written without its claim */
	if (stage->steal_after && stage->appends > stage->steal_after)
		stage->token++;
	if (fence->token != stage->token)
		return err_set(err, ERR_CONFLICT, "not yours");
	if (fails && !stage->fail_after)
		return err_set(err, ERR_STORE, "failed before");
	for (size_t i = 0; i < count; i++)
		write_entry(stage, &entries[i]);
	stage->unsettled = false;
	return fails ? err_set(err, ERR_STORE, "failed after") : 0;
}

static int op_append_soon(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err)
{
	struct stage *stage = OF_JOURNAL(journal);
	int r = op_append(journal, ctx, fence, entries, count, err);

	stage->unsettled = true;
	stage->soon++;
	return r;
}

static int op_settle(struct journal *journal, struct err *err)
{
	struct stage *stage = OF_JOURNAL(journal);

	stage->store_failed = stage->fail_settle > 0;
	if (stage->store_failed) {
		stage->fail_settle--;
		return err_set(err, ERR_STORE, "not on the disk");
	}
	stage->unsettled = false;
	stage->settled++;
	return 0;
}

static int op_read(struct journal *journal, const void *ctx, const struct entry_filter *filter, struct entry **ret, size_t *ret_count,
	struct err *err)
{
	struct stage *stage = OF_JOURNAL(journal);

	*ret = mem_array(ctx, struct entry, stage->count + 1);
	*ret_count = 0;
	for (size_t i = (size_t)filter->after_seq; i < stage->count; i++)
		(*ret)[(*ret_count)++] = stage->entries[i];
	return 0;
}

static int op_claim(struct journal *journal, const void *ctx, const char *name, int64_t lease_ms, struct claim *ret, struct err *err)
{
	struct stage *stage = OF_JOURNAL(journal);

	assert_string_equal(name, "environment:production");
	*ret = (struct claim){ .name = name,
		.holder = "me",
		.token = ++stage->token,
		.lease_ms = lease_ms,
		.safe_until_ms = stage->now_ms + lease_ms * 3 / 4 };
	return 0;
}

static int op_renew(struct journal *journal, struct claim *claim, struct err *err)
{
	struct stage *stage = OF_JOURNAL(journal);

	if (claim->token != stage->token)
		return err_set(err, ERR_CONFLICT, "not yours");
	claim->safe_until_ms = stage->now_ms + claim->lease_ms * 3 / 4;
	return 0;
}

static int op_release(struct journal *journal, struct claim *claim, struct err *err)
{
	return 0;
}

static const struct journal_ops journal_ops = { .append = op_append,
	.append_soon = op_append_soon,
	.settle = op_settle,
	.read = op_read,
	.claim = op_claim,
	.renew = op_renew,
	.release = op_release };

static int op_start(struct executor *executor, const struct work *work, struct err *err)
{
	struct stage *stage = OF_EXECUTOR(executor);
	char *call = mem_printf(stage->ctx, "%s %s", json_str(work->request, "verb", ""), json_str(work->request, "name", ""));
	bool hangs = stage->hangs && !strcmp(stage->hangs, call);

	if (strncmp(call, "probe", 5) != 0)
		assert_false(stage->unsettled); /* nothing is done on the strength of what the power may take back */
	stage->calls = mem_appendf(stage->calls, "%s; ", call);
	assert_true(stage->work_count < WORKS_MAX);
	stage->works[stage->work_count].id = work->id;
	stage->works[stage->work_count].request = json_keep(stage->ctx, json_incref(work->request));
	stage->works[stage->work_count].stopped = false;
	stage->works[stage->work_count++].end_ms = hangs ? work->deadline_ms : stage->now_ms + 2;
	if (stage->cancel_at && !strcmp(stage->cancel_at, call)) {
		stage->cancel_at = NULL;
		by_others(stage, ENTRY_RUN_CANCEL, json_make(stage->ctx, "{s:s}", "reason", "no"));
	}
	return 0;
}

static json_t *act(struct stage *stage, json_t *request, const char *verb, const char *name)
{
	char **version = &stage->versions[!strcmp(name, "web")];
	const char *goal = json_str(json_object_get(request, "target"), "version", NULL);

	if (!strcmp(verb, "probe"))
		return json_make(stage->ctx, "{s:s, s:s}", "status", stage->unhealthy-- > 0 ? "fail" : "pass", "message", "m");
	if (!strcmp(verb, "apply"))
		*version = mem_strdup(stage->ctx, goal);
	if (!strcmp(verb, "undo"))
		*version = mem_strdup(stage->ctx, "v1");
	return json_make(stage->ctx, "{s:s, s:s, s:{s:s}}", "version", *version, "state", "running", "outputs", "version", *version);
}

static int op_wait(struct executor *executor, const void *ctx, int64_t until_ms, struct work_result *ret, struct err *err)
{
	struct stage *stage = OF_EXECUTOR(executor);
	size_t first = 0;

	for (size_t i = 1; i < stage->work_count; i++)
		if (stage->works[i].end_ms < stage->works[first].end_ms)
			first = i;
	if (!stage->work_count || stage->works[first].end_ms > MAX(until_ms, stage->now_ms)) {
		assert_true(until_ms < stage->now_ms + 3600 * 1000); /* every wait has an end */
		assert_true(until_ms <= stage->now_ms || !stage->unsettled || stage->store_failed);
		stage->now_ms = MAX(stage->now_ms, until_ms);
		return 0;
	}
	stage->now_ms = MAX(stage->now_ms, stage->works[first].end_ms);
	*ret = (struct work_result){ .id = stage->works[first].id, .err = ERR_INIT, .duration_ms = 2, .retryable = true };
	json_t *request = stage->works[first].request;
	const char *verb = json_str(request, "verb", ""), *name = json_str(request, "name", "");
	_cleanup_talloc_ char *call = mem_printf(NULL, "%s %s", verb, name);

	if (stage->works[first].stopped || (stage->hangs && !strcmp(stage->hangs, call))) {
		err_set(&ret->err, stage->works[first].stopped ? ERR_CANCELLED : ERR_TIMEOUT, "it hung");
	} else if (stage->fails && !strcmp(stage->fails, call)) {
		err_set(&ret->err, ERR_DRIVER, "it broke");
		ret->answered = true;
		ret->retryable = false;
	} else {
		ret->answered = true;
		ret->result = act(stage, request, verb, name);
	}
	stage->works[first] = stage->works[--stage->work_count];
	return 1;
}

static void op_stop(struct executor *executor, uint64_t id)
{
	struct stage *stage = OF_EXECUTOR(executor);

	stage->stops++;
	for (size_t i = 0; i < stage->work_count; i++)
		if (stage->works[i].id == id) {
			stage->works[i].stopped = true;
			stage->works[i].end_ms = stage->now_ms;
		}
}

static int64_t op_time(struct executor *executor)
{
	return OF_EXECUTOR(executor)->now_ms;
}

static const struct executor_ops executor_ops = { .start = op_start,
	.wait = op_wait,
	.stop = op_stop,
	.wall_ms = op_time,
	.mono_ms = op_time };

/* ---- a run on the stage ---- */

static struct component components[] = { { .name = "api", .driver = "d" }, { .name = "web", .driver = "d" } };
static struct probe_config probes[] = { { .name = "one", .type = "http", .timeout_ms = 1000 },
	{ .name = "two", .type = "http", .timeout_ms = 1000, .component = "web" } };
static struct environment environment = { .name = "production",
	.components = components,
	.component_count = 2,
	.probes = probes,
	.probe_count = 2 };

static struct stage *stage_new(const char *steps)
{
	struct stage *stage = mem_zero(NULL, struct stage);
	struct err err = ERR_INIT;
	struct doc *doc;

	stage->ctx = stage;
	stage->journal.ops = &journal_ops;
	stage->executor.ops = &executor_ops;
	stage->calls = mem_strdup(stage, "");
	stage->now_ms = 1000;
	stage->versions[0] = stage->versions[1] = mem_strdup(stage, "v1");
	_cleanup_talloc_ char *text = mem_printf(NULL, "{plan: {id: p, name: P, steps: %s}, reason: r, context: {environment: production}}",
		steps);
	if (doc_parse_yaml(stage, "given", text, strlen(text), &doc, &err) < 0)
		fail_msg("%s", err.text);
	by_others(stage, ENTRY_RUN_REQUESTED, doc_root(doc));
	return stage;
}

static bool is_interrupted(void *user)
{
	return ((struct stage *)user)->interrupt;
}

static int seal(void *user, const struct run *run, json_t *details, struct err *err)
{
	struct stage *stage = user;

	if (stage->full)
		return err_set(err, ERR_NO_SPACE, "the disk is full");
	stage->calls = mem_append(stage->calls, "seal; ");
	json_put_int(details, "files", 3);
	return 0;
}

static int accompany(void *user, const void *ctx, const struct run *run, const struct entry *ended, struct entry **ret, size_t *ret_count,
	struct err *err)
{
	*ret = mem_zero(ctx, struct entry);
	**ret = (struct entry){ .kind = ENTRY_NOTIFICATION_QUEUED,
		.run = run->id,
		.actor = "me",
		.data = json_make(ctx, "{s:s}", "notification", "n") };
	*ret_count = 1;
	return 0;
}

static int carry_out(struct stage *stage, struct run **ret, struct err *err)
{
	struct runner runner = { .journal = &stage->journal,
		.executor = &stage->executor,
		.environment = &environment,
		.places = { .project_dir = "/p", .open_root = "/s" },
		.actor = "me",
		.seal = seal,
		.accompany = accompany,
		.interrupted = is_interrupted,
		.user = stage };

	return runner_run(&runner, stage, "run-1", ret, err);
}

static struct run *ran(struct stage *stage)
{
	struct err err = ERR_INIT;
	struct run *run = NULL;

	if (carry_out(stage, &run, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(stage->work_count, 0);
	return run;
}

static size_t count_kind(const struct stage *stage, const char *kind)
{
	size_t count = 0;

	for (size_t i = 0; i < stage->count; i++)
		count += !strcmp(stage->entries[i].kind, kind);
	return count;
}

static const struct entry *last_of(const struct stage *stage, const char *kind)
{
	for (size_t i = stage->count; i-- > 0;)
		if (!strcmp(stage->entries[i].kind, kind))
			return &stage->entries[i];
	fail_msg("no %s was written", kind);
	return NULL;
}

#define API "{id: a, type: deployment, parameters: {service: api, version: v2, environment: production}}"
#define WEB "{id: w, type: deployment, parameters: {service: web, version: v2, environment: production}}"

static void two_steps(void **state)
{
	struct stage *stage = stage_new("[" API ", " WEB "]");
	struct run *run = ran(stage);

	assert_int_equal(run->status, RUN_COMPLETED);
	assert_string_equal(stage->calls, "capture api; capture web; seal; apply api; observe api; apply web; observe web; ");
	assert_string_equal(stage->versions[0], "v2");
	/* started, both captures, snapshot, two for each step, the end with what belongs to it */
	assert_int_equal(stage->appends, 1 + 1 + 1 + 2 * 2 + 1);
	assert_string_equal(stage->entries[stage->count - 1].kind, ENTRY_NOTIFICATION_QUEUED);
	assert_string_equal(json_str(last_of(stage, ENTRY_STEP_BEGUN)->data, "key", ""), "run-1/w/apply/1");
	assert_string_equal(json_str(json_object_get(last_of(stage, ENTRY_STEP_ENDED)->data, "observed"), "version", ""), "v2");
	assert_int_equal(json_int(last_of(stage, ENTRY_SNAPSHOT_TAKEN)->data, "files", 0), 3);
	talloc_free(stage);
}

static void a_failure_is_restored(void **state)
{
	struct stage *stage = stage_new("[" API ", " WEB "]");
	struct run *run;

	stage->fails = "apply web";
	run = ran(stage);
	assert_int_equal(run->status, RUN_RESTORED);
	assert_string_equal(run->message, "it broke");
	assert_string_equal(stage->versions[0], "v1");
	assert_non_null(strstr(stage->calls, "apply web; undo web; observe web; undo api; observe api; "));
	assert_string_equal(json_str(last_of(stage, ENTRY_RUN_ENDED)->data, "step", ""), "w");
	talloc_free(stage);
}

/* Every append fails once, before and after: the same entries stand there in the end, none twice, and nothing is done twice. */
static void a_store_that_fails(void **state)
{
	struct stage *good = stage_new("[" API ", " WEB "]");

	ran(good);
	for (size_t nth = 1; nth <= good->appends; nth++) {
		for (int after = 0; after < 2; after++) {
			struct stage *stage = stage_new("[" API ", " WEB "]");

			stage->fail_append = nth;
			stage->fail_after = after;
			assert_int_equal(ran(stage)->status, RUN_COMPLETED);
			assert_int_equal(stage->count, good->count);
			for (size_t i = 0; i < good->count; i++)
				assert_string_equal(stage->entries[i].kind, good->entries[i].kind);
			assert_string_equal(stage->calls, good->calls);
			talloc_free(stage);
		}
	}
	talloc_free(good);
}

/* An outcome is made durable by the intent that follows it; where none follows, by itself, before anything is waited for. That it is so
 * everywhere, op_start and op_wait look to. */
static void an_outcome_is_settled(void **state)
{
	struct stage *serial = stage_new("[" API ", " WEB "]");
	struct stage *both = stage_new(
		"[{id: a, type: deployment, needs: [], parameters: {service: api, version: v2, environment: production}},"
		" {id: w, type: deployment, needs: [], parameters: {service: web, version: v2, environment: production}}]");

	ran(serial);
	assert_int_equal(serial->soon, 3); /* captures, two outcomes */
	assert_int_equal(serial->settled, 0);
	both->hangs = "apply web";
	both->fail_settle = 3;
	assert_int_equal(ran(both)->status, RUN_RESTORED);
	assert_int_equal(both->fail_settle, 0);
	assert_true(both->settled > 0);
	assert_false(both->unsettled);
	talloc_free(serial);
	talloc_free(both);
}

static void a_lost_claim_stops_it(void **state)
{
	struct stage *stage = stage_new("[" API ", " WEB "]");
	struct err err = ERR_INIT;
	struct run *run = NULL;

	stage->steal_after = 4; /* started, captured, snapshot, intent */
	assert_int_equal(carry_out(stage, &run, &err), -ERR_CONFLICT);
	assert_int_equal(count_kind(stage, ENTRY_STEP_BEGUN), 1);
	assert_int_equal(count_kind(stage, ENTRY_STEP_ENDED), 0);
	assert_null(strstr(stage->calls, "apply web"));
	/* The next one looks before it does anything. */
	stage->steal_after = 0;
	stage->calls = mem_strdup(stage, "");
	assert_int_equal(ran(stage)->status, RUN_COMPLETED);
	assert_string_equal(stage->calls, "observe api; apply web; observe web; ");
	assert_true(json_flag(last_of(stage, ENTRY_RUN_STARTED)->data, "resumed", false));
	talloc_free(stage);
}

static void cancelled_in_the_middle(void **state)
{
	struct stage *stage = stage_new("[" API ", " WEB "]");
	struct run *run;

	stage->hangs = stage->cancel_at = "apply web";
	run = ran(stage);
	assert_int_equal(run->status, RUN_RESTORED);
	assert_true(run->cancelled);
	assert_int_equal(stage->stops, 1);
	assert_true(stage->now_ms < 5000); /* it did not wait for the step's 300 s */
	assert_string_equal(run->message, "cancelled by bob: no");
	assert_non_null(strstr(stage->calls, "undo web; observe web; undo api; observe api; "));
	talloc_free(stage);
}

static void interrupted(void **state)
{
	struct stage *stage = stage_new("[" API "]");
	struct err err = ERR_INIT;
	struct run *run;

	stage->interrupt = true;
	assert_int_equal(carry_out(stage, &run, &err), -ERR_CANCELLED);
	stage->interrupt = false;
	assert_int_equal(ran(stage)->status, RUN_COMPLETED);
	talloc_free(stage);
}

static void no_snapshot_no_change(void **state)
{
	struct stage *stage = stage_new("[" API "]");
	struct run *run;

	stage->full = true;
	run = ran(stage);
	assert_int_equal(run->status, RUN_REFUSED);
	assert_int_equal(run->code, ERR_NO_SPACE);
	assert_string_equal(stage->calls, "capture api; ");
	talloc_free(stage);
}

static void a_timeout_is_asked_about(void **state)
{
	struct stage *stage = stage_new(
		"[{id: a, type: deployment, timeout: 7, parameters: {service: api, version: v2, environment: production}}]");
	struct run *run;

	stage->hangs = "apply api";
	run = ran(stage);
	assert_int_equal(run->status, RUN_RESTORED);
	assert_int_equal(run->code, ERR_TIMEOUT);
	assert_string_equal(stage->calls, "capture api; seal; apply api; observe api; undo api; observe api; ");
	assert_true(json_flag(stage->entries[5].data, "settled", false));
	talloc_free(stage);
}

static void healthy_after_a_while(void **state)
{
	struct stage *stage = stage_new("[{id: h, type: health, parameters: {components: [web]}, timeout: 10}]");
	struct run *run;
	json_t *list;

	stage->unhealthy = 3;
	run = ran(stage);
	assert_int_equal(run->status, RUN_COMPLETED);
	list = json_object_get(run->steps[0].outputs, "probes");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_str(json_array_get(list, 1), "status", ""), "pass");
	assert_true(stage->now_ms < 2000);
	assert_int_equal(count_kind(stage, ENTRY_STEP_BEGUN), 1); /* rounds are not attempts */
	talloc_free(stage);
}

static void probes_of_others_are_left_out(void **state)
{
	struct stage *stage = stage_new(
		"[{id: h, type: health, parameters: {components: [api]}}, {id: i, type: health, parameters: {probes: [two]}}]");

	assert_int_equal(ran(stage)->status, RUN_COMPLETED);
	assert_string_equal(stage->calls, "seal; probe one; probe two; ");
	talloc_free(stage);
}

static void never_healthy(void **state)
{
	struct stage *stage = stage_new("[" API ", {id: h, type: health, timeout: 3}]");
	struct run *run;

	stage->unhealthy = 1000;
	run = ran(stage);
	assert_int_equal(run->status, RUN_RESTORED);
	assert_string_equal(run->message, "2 of 2 probes fail after 3 s: one: m");
	assert_in_range(stage->now_ms, 3500, 5000);
	assert_string_equal(stage->versions[0], "v1");
	talloc_free(stage);
}

static void told_and_asked(void **state)
{
	struct stage *stage = stage_new(
		"[{id: n, type: notification, parameters: {recipients: [ops], channel: in-app, message: 'to ${context.environment}'}},"
		"{id: ok, type: approval, parameters: {message: 'go on in ${context.environment}?'}}, " API "]");
	const struct entry *asked;
	size_t appends;

	assert_int_equal(ran(stage)->status, RUN_WAITING);
	assert_string_equal(json_str(last_of(stage, ENTRY_NOTIFICATION_QUEUED)->data, "message", ""), "to production");
	asked = last_of(stage, ENTRY_RUN_WAITING);
	assert_string_equal(json_str(asked->data, "message", ""), "go on in production?");
	appends = stage->appends;
	assert_int_equal(ran(stage)->status, RUN_WAITING); /* nobody has answered: nothing to write */
	assert_int_equal(stage->appends, appends);
	by_others(stage, ENTRY_RUN_ANSWERED, json_make(stage, "{s:s, s:s}", "step", "ok", "answer", "approve"));
	assert_int_equal(ran(stage)->status, RUN_COMPLETED);
	assert_string_equal(stage->versions[0], "v2");
	talloc_free(stage);
}

static void of_another_environment(void **state)
{
	struct stage *stage = stage_new("[" API "]");
	struct err err = ERR_INIT;
	struct run *run;

	stage->entries[0].environment = "staging";
	assert_int_equal(carry_out(stage, &run, &err), -ERR_INVALID);
	stage->count = 0;
	assert_int_equal(carry_out(stage, &run, &err), -ERR_NOT_FOUND);
	talloc_free(stage);
}

static int setup(void **state)
{
	json_setup();
	hash_setup();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_steps),
		cmocka_unit_test(a_failure_is_restored),
		cmocka_unit_test(a_store_that_fails),
		cmocka_unit_test(an_outcome_is_settled),
		cmocka_unit_test(a_lost_claim_stops_it),
		cmocka_unit_test(cancelled_in_the_middle),
		cmocka_unit_test(interrupted),
		cmocka_unit_test(no_snapshot_no_change),
		cmocka_unit_test(a_timeout_is_asked_about),
		cmocka_unit_test(healthy_after_a_while),
		cmocka_unit_test(probes_of_others_are_left_out),
		cmocka_unit_test(never_healthy),
		cmocka_unit_test(told_and_asked),
		cmocka_unit_test(of_another_environment),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
