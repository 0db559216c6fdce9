/* Every operation, every role, in one's own environment, in another, and in all: allowed or refused as the table says, every refusal
 * journalled, and nothing of an environment told to whoever may not see it.
 * Then what goes across the table: force, dry runs, fresh authentication, what a token narrows. */
#include "store_test.h"

#include "base/proc.h"
#include "ops/people.h"
#include "ops/permit.h"

#define PLACE  "production"
#define SECRET "secret" /* stands in everything of that environment: whoever may not see it never reads this word */

/* How far the permission must reach. */
enum scope { HERE, ANYWHERE, EVERYWHERE, OWN };

struct row {
	const char *operation;
	enum permission permission;
	enum scope scope;
	const char *input; /* $DEP, $RUN, $OPEN, $APR, $BGL, $TOK, $SES stand for ids of the environment */
};

static const struct row table[] = {
	{ "config.check", PERMIT_VIEW, EVERYWHERE, "{}" },
	{ "drivers.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "probes.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "channels.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "versions.list", PERMIT_VIEW, HERE, "{\"environment\": \"production\"}" },
	{ "deployments.record", PERMIT_EXECUTE, HERE, "{\"environment\": \"production\", \"version\": \"secret-3\"}" },
	{ "deployments.list", PERMIT_VIEW, HERE, "{\"environment\": \"production\"}" },
	{ "deployments.show", PERMIT_VIEW, HERE, "{\"id\": \"$DEP\"}" },
	{ "deployments.quarantine", PERMIT_EXECUTE, HERE, "{\"id\": \"$DEP\", \"reason\": \"x\"}" },
	{ "deployments.release", PERMIT_EXECUTE, HERE, "{\"id\": \"$DEP\", \"reason\": \"x\"}" },
	{ "readiness.show", PERMIT_VIEW, HERE, "{\"environment\": \"production\"}" },
	{ "plans.create", PERMIT_PLAN, HERE, "{\"environment\": \"production\", \"to\": \"$DEP\"}" },
	{ "plans.check", PERMIT_PLAN, HERE, "{\"file\": \"nowhere.yaml\", \"environment\": \"production\"}" },
	{ "plans.runbook", PERMIT_VIEW, HERE, "{\"file\": \"nowhere.yaml\", \"environment\": \"production\"}" },
	{ "rollbacks.create", PERMIT_EXECUTE, HERE, "{\"environment\": \"production\", \"reason\": \"x\", \"to\": \"$DEP\"}" },
	{ "rollbacks.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "rollbacks.show", PERMIT_VIEW, HERE, "{\"id\": \"$RUN\"}" },
	{ "rollbacks.undo", PERMIT_EXECUTE, HERE, "{\"id\": \"$RUN\"}" },
	{ "rollbacks.approve", PERMIT_APPROVE, HERE, "{\"id\": \"$OPEN\"}" },
	{ "rollbacks.reject", PERMIT_APPROVE, HERE, "{\"id\": \"$OPEN\"}" },
	{ "rollbacks.resume", PERMIT_EXECUTE, HERE, "{\"id\": \"$OPEN\", \"step\": \"x\"}" },
	{ "rollbacks.cancel", PERMIT_EXECUTE, HERE, "{\"id\": \"$RUN\"}" },
	{ "health.check", PERMIT_VIEW, HERE, "{\"environment\": \"production\"}" },
	{ "flags.list", PERMIT_VIEW, HERE, "{\"environment\": \"production\"}" },
	{ "flags.show", PERMIT_VIEW, HERE, "{\"environment\": \"production\", \"key\": \"secret-flag\"}" },
	{ "flags.define", PERMIT_FLAGS, HERE, "{\"environment\": \"production\", \"key\": \"f\", \"definition\": {}}" },
	{ "flags.set", PERMIT_FLAGS, HERE, "{\"environment\": \"production\", \"key\": \"secret-flag\", \"state\": \"on\"}" },
	{ "flags.disable-group", PERMIT_FLAGS, HERE, "{\"environment\": \"production\", \"group\": \"beta\"}" },
	{ "flags.restore", PERMIT_FLAGS, HERE, "{\"environment\": \"production\", \"id\": \"x\"}" },
	{ "flags.history", PERMIT_VIEW, HERE, "{\"environment\": \"production\"}" },
	{ "flags.evaluate", PERMIT_VIEW, HERE, "{\"environment\": \"production\", \"key\": \"secret-flag\"}" },
	{ "flags.remove", PERMIT_FLAGS, HERE, "{\"environment\": \"production\", \"key\": \"none\"}" },
	{ "snapshots.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "snapshots.create", PERMIT_EXECUTE, HERE, "{\"environment\": \"production\"}" },
	{ "snapshots.copy", PERMIT_ADMINISTER, EVERYWHERE, "{}" },
	{ "snapshots.fetch", PERMIT_ADMINISTER, EVERYWHERE, "{}" },
	{ "snapshots.rotate", PERMIT_ADMINISTER, EVERYWHERE, "{}" },
	{ "snapshots.show", PERMIT_VIEW, HERE, "{\"id\": \"$RUN\"}" },
	{ "snapshots.verify", PERMIT_VIEW, HERE, "{\"id\": \"$RUN\"}" },
	{ "snapshots.restore", PERMIT_EXECUTE, HERE, "{\"id\": \"$RUN\"}" },
	{ "snapshots.export", PERMIT_EXECUTE, HERE, "{\"id\": \"$RUN\", \"to\": \"/nowhere/at/all\"}" },
	{ "snapshots.prune", PERMIT_ADMINISTER, EVERYWHERE, "{}" },
	{ "drills.run", PERMIT_EXECUTE, HERE, "{\"environment\": \"production\"}" },
	{ "drills.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "drills.clean", PERMIT_EXECUTE, EVERYWHERE, "{}" },
	{ "history.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "audit.verify", PERMIT_VIEW, EVERYWHERE, "{}" },
	{ "audit.search", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "notifications.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "alerts.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "alerts.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "approvals.list", PERMIT_VIEW, ANYWHERE, "{\"all\": true}" },
	{ "approvals.show", PERMIT_VIEW, HERE, "{\"id\": \"$APR\"}" },
	{ "approvals.approve", PERMIT_APPROVE, HERE, "{\"id\": \"$APR\"}" },
	{ "approvals.reject", PERMIT_APPROVE, HERE, "{\"id\": \"$APR\"}" },
	{ "breakglass.list", PERMIT_VIEW, ANYWHERE, "{}" },
	{ "breakglass.open", PERMIT_EMERGENCY, HERE, "{\"environment\": \"production\", \"reason\": \"x\"}" },
	{ "breakglass.close", PERMIT_EMERGENCY, HERE, "{\"id\": \"$BGL\"}" },
	{ "breakglass.review", PERMIT_APPROVE, HERE, "{\"id\": \"$BGL\", \"note\": \"x\"}" },
	{ "people.list", PERMIT_ADMINISTER, EVERYWHERE, "{}" },
	{ "people.show", PERMIT_ADMINISTER, EVERYWHERE, "{\"name\": \"tester\"}" },
	{ "people.add", PERMIT_ADMINISTER, EVERYWHERE, "{\"name\": \"new\"}" },
	{ "people.change", PERMIT_ADMINISTER, EVERYWHERE, "{\"name\": \"other\", \"grant\": [\"staging=viewer\"]}" },
	{ "tokens.create", PERMIT_VIEW, ANYWHERE, "{\"name\": \"x\", \"principal\": \"tester\"}" },
	{ "tokens.list", PERMIT_VIEW, ANYWHERE, "{\"principal\": \"tester\"}" },
	{ "sessions.list", PERMIT_VIEW, ANYWHERE, "{\"principal\": \"tester\"}" },
	{ "tokens.revoke", PERMIT_ADMINISTER, OWN, "{\"id\": \"$TOK\"}" },
	{ "sessions.revoke", PERMIT_ADMINISTER, OWN, "{\"id\": \"$SES\"}" },
	{ "people.remove", PERMIT_ADMINISTER, EVERYWHERE, "{\"name\": \"other\"}" },
};

/* Not in the table: who may withdraw is the one who asked, which another test looks at. */
static const char *const elsewhere[] = { "approvals.withdraw" };

static const char project[] = "project: app\nenvironments:\n  production: {components: {}}\n  staging: {components: {}}\n";
static const struct catalogue nothing = {
	.drivers = (const struct driver *const[]){ NULL },
	.probes = (const struct probe *const[]){ NULL },
	.channels = (const struct channel *const[]){ NULL },
};

struct world {
	void *ctx;
	struct workspace *workspace;
	struct principal principal;
	struct grant grant;
};

static void add(struct world *world, const char *kind, const char *environment, const char *run, const char *actor, json_t *data)
{
	struct entry entry = { .kind = kind, .environment = environment, .run = run, .actor = actor, .data = data };
	struct err error = ERR_INIT;

	assert_ok(store_append(world->workspace->store, world->ctx, &entry, &error));
}

static void add_principal(struct world *world, const char *id, const char *name)
{
	add(world, ENTRY_PRINCIPAL_ADDED, NULL, NULL, "test",
		json_make(world->ctx, "{s:s, s:s, s:s, s:[]}", "principal", id, "name", name, "kind", "person", "grants"));
}

static void add_run(struct world *world, const char *environment, const char *id, const char *tag)
{
	add(world, ENTRY_RUN_REQUESTED, environment, id, tag,
		json_make(world->ctx, "{s:{s:s, s:s, s:[{s:s, s:s, s:{s:s}, s:i}]}, s:s, s:s, s:s, s:{}, s:{}, s:[]}", "plan", "id", "p-1",
			"name", "P", "steps", "id", "ask", "type", "approval", "parameters", "message", tag, "timeout", 60, "from",
			mem_printf(world->ctx, "dep-%s-2", tag), "to", mem_printf(world->ctx, "dep-%s-1", tag), "reason", tag, "options",
			"context", "findings"));
}

/* In `environment` something of everything. */
static void furnish(struct world *world, const char *environment, const char *tag)
{
	void *ctx = world->ctx;
	struct err error = ERR_INIT;

	for (int i = 1; i <= 2; i++)
		assert_ok(record(world->workspace->store, environment, mem_printf(ctx, "dep-%s-%d", tag, i),
			mem_printf(ctx, "%s-%d", tag, i), "passing", &error));
	assert_ok(store_flag_set(world->workspace->store, environment, mem_printf(ctx, "%s-flag", tag), "beta", "true", tag, tag, NULL,
		&error));
	add_run(world, environment, mem_printf(ctx, "run-%s-1", tag), tag);
	add(world, ENTRY_SNAPSHOT_TAKEN, environment, mem_printf(ctx, "run-%s-1", tag), tag,
		json_make(ctx, "{s:s, s:i, s:i, s:s}", "snapshot", mem_printf(ctx, "run-%s-1", tag), "files", 1, "bytes", 1, "manifest",
			tag));
	add(world, ENTRY_RUN_ENDED, environment, mem_printf(ctx, "run-%s-1", tag), tag,
		json_make(ctx, "{s:s, s:b}", "status", "completed", "changed", 1));
	add_run(world, environment, mem_printf(ctx, "run-%s-2", tag), tag);
	add(world, ENTRY_APPROVAL_REQUESTED, environment, NULL, tag,
		json_make(ctx, "{s:s, s:s, s:s, s:{s:s}, s:s, s:[s], s:i, s:i, s:s}", "approval", mem_printf(ctx, "apr-%s", tag),
			"operation", "rollbacks.create", "principal", "prn-other", "input", "environment", environment, "planHash", "0",
			"needs", "execute", "required", 3, "ttlMs", 3600000, "reason", tag));
	add(world, ENTRY_BREAKGLASS_OPENED, environment, NULL, tag,
		json_make(ctx, "{s:s, s:s, s:s, s:s}", "breakglass", mem_printf(ctx, "bgl-%s", tag), "principal",
			mem_printf(ctx, "prn-%s", tag), "reason", tag, "until", clock_format(ctx, clock_wall_ms() + 3600000)));
	add(world, ENTRY_NOTIFICATION_QUEUED, environment, NULL, tag,
		json_make(ctx, "{s:s, s:s, s:s, s:[s], s:s}", "notification", mem_printf(ctx, "ntf-%s", tag), "event", "start", "channel",
			tag, "recipients", tag, "message", tag));
}

static struct world make(const char *folder, const char *name, enum role role, const char *place)
{
	struct world world = { .ctx = mem_context(NULL), .grant = { .environment = mem_strdup(folder, place), .role = role } };
	struct err error = ERR_INIT;
	char *dir = fs_join(world.ctx, folder, name);

	assert_ok(fs_mkdirs(dir, 0700, &error));
	assert_ok(fs_write_atomic(fs_join(world.ctx, dir, PROJECT_FILE), project, strlen(project), 0600, &error));
	assert_ok(workspace_open(world.ctx, dir, &nothing, &world.workspace, &error));
	assert_ok(workspace_store(world.workspace, &error));
	world.principal =
		(struct principal){ .id = "prn-tester", .name = "tester", .narrowed_to = PERMISSIONS_ALL, .credential = "ses-tester" };
	world.principal.authenticated_ms = clock_wall_ms();
	add_principal(&world, "prn-tester", "tester");
	add_principal(&world, "prn-other", "other");
	furnish(&world, PLACE, SECRET);
	furnish(&world, "staging", "open");
	add(&world, ENTRY_TOKEN_CREATED, NULL, NULL, "test",
		json_make(world.ctx, "{s:s, s:s, s:s, s:[s], s:s}", "token", "tok-other", "principal", "prn-other", "name", "ci",
			"permissions", "view", "expires", clock_format(world.ctx, clock_wall_ms() + 3600000)));
	add(&world, ENTRY_SESSION_BEGUN, NULL, NULL, "test",
		json_make(world.ctx, "{s:s, s:s, s:s}", "session", "ses-other", "principal", "prn-other", "method", "password"));
	return world;
}

static json_t *input_of(struct world *world, const char *text)
{
	static const char *const names[][2] = { { "$DEP", "dep-secret-1" }, { "$RUN", "run-secret-1" }, { "$OPEN", "run-secret-2" },
		{ "$APR", "apr-secret" }, { "$BGL", "bgl-secret" }, { "$TOK", "tok-other" }, { "$SES", "ses-other" } };
	char *filled = mem_strdup(world->ctx, text);
	struct err error = ERR_INIT;
	json_t *input = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *at = strstr(filled, names[i][0]);

		if (at)
			filled = mem_printf(world->ctx, "%.*s%s%s", (int)(at - filled), filled, names[i][1], at + strlen(names[i][0]));
	}
	assert_ok(json_parse(world->ctx, filled, strlen(filled), 65536, &input, &error));
	return input;
}

/* Refusals of access that were journalled since. */
static size_t refusals(struct world *world, int64_t since)
{
	struct entry_filter filter = { .kind = ENTRY_REFUSED, .after_seq = since };
	struct err error = ERR_INIT;
	struct entry *entries;
	size_t count, found = 0;

	assert_ok(store_read(world->workspace->store, world->ctx, &filter, &entries, &count, &error));
	for (size_t i = 0; i < count; i++) {
		const char *code = json_str(entries[i].data, "code", "");

		found += !strcmp(code, "forbidden") || !strcmp(code, "not-found") || !strcmp(code, "unauthenticated");
	}
	return found;
}

struct result {
	int r;
	size_t refusals;
	char *told; /* answer and error together */
};

static struct result call(struct world *world, const char *operation, json_t *input)
{
	struct op op = { .ctx = world->ctx, .workspace = world->workspace, .catalogue = &nothing };
	struct err error = ERR_INIT;
	struct result result;
	json_t *answer = NULL;
	int64_t before = 0;
	char *text;

	world->principal.grants = &world->grant;
	world->principal.grant_count = 1;
	op.principal = &world->principal;
	op.actor = world->principal.name;
	assert_non_null(operation_find(operation));
	if (store_head(world->workspace->store, &before, &error) < 0)
		fail_msg("%s", error.text);
	error = ERR_INIT;
	result.r = operation_call(&op, operation_find(operation), input, &answer, &error);
	result.refusals = refusals(world, before);
	text = answer ? json_dumps(answer, JSON_ENCODE_ANY) : NULL;
	result.told = mem_printf(world->ctx, "%s%s", text ? text : "", result.r < 0 ? error.text : "");
	free(text);
	return result;
}

static bool may(const struct row *row, enum role role, const char *place)
{
	bool here = !strcmp(place, PLACE) || !strcmp(place, "*");
	bool has = (role_permissions(role) & PERMISSION_BIT(row->permission)) != 0;

	switch (row->scope) {
	case HERE:
		return has && here;
	case ANYWHERE:
		return has;
	default:
		return has && !strcmp(place, "*");
	}
}

static void try_all(const char *folder, enum role role, const char *place)
{
	bool sees = strcmp(place, "staging") != 0;
	struct world world = make(folder, mem_printf(folder, "%s-%c", role_name(role), place[0] == '*' ? 'x' : place[0]), role, place);

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct row *row = &table[i];
		struct result result = call(&world, row->operation, input_of(&world, row->input));
		bool allowed = may(row, role, place);

		if (allowed ? result.r == -ERR_FORBIDDEN || result.refusals : result.r != -ERR_FORBIDDEN && result.r != -ERR_NOT_FOUND)
			fail_msg("%s as %s of %s: %d, expected %s: %s", row->operation, role_name(role), place, result.r,
				allowed ? "allowed" : "refused", result.told);
		if (!allowed && result.refusals != 1)
			fail_msg("%s as %s of %s: %zu refusals in the journal", row->operation, role_name(role), place, result.refusals);
		if (!sees && !json_object_get(input_of(&world, row->input), "id") && strstr(result.told, SECRET) &&
			!strstr(row->input, SECRET))
			fail_msg("%s as %s of %s tells: %s", row->operation, role_name(role), place, result.told);
	}
	talloc_free(world.ctx);
}

static void every_operation_role_and_place(void **state)
{
	static const char *const places[] = { PLACE, "staging", "*" };

	for (int role = 0; role < ROLE_COUNT; role++)
		for (size_t i = 0; i < ARRAY_SIZE(places); i++)
			try_all(*state, (enum role)role, places[i]);
}

static void no_operation_is_missing_here(unused_arg void **state)
{
	for (const struct operation *const *operation = operations; *operation; operation++) {
		bool found = false;

		for (size_t i = 0; i < ARRAY_SIZE(table); i++)
			if (!strcmp(table[i].operation, (*operation)->name)) {
				found = true;
				/* What everybody does with their own is limited in the handler. */
				if (table[i].scope != OWN)
					assert_int_equal(table[i].permission, (*operation)->permission);
			}
		for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
			found |= !strcmp(elsewhere[i], (*operation)->name);
		if (!found)
			fail_msg("%s is not in the table of this test", (*operation)->name);
	}
}

/* What is not there and what may not be seen are told apart by nobody: not by the words, not by a beginning that fits, not by what is the
 * newest. */
static void what_may_not_be_seen_is_not_there(void **state)
{
	static const char *const by_id[] = { "rollbacks.show", "deployments.show", "approvals.show", "snapshots.show" };
	static const char *const hidden[] = { "run-secret-1", "dep-secret-1", "apr-secret", "run-secret-1" };
	static const char *const unknown[] = { "run-nosuch-1", "dep-nosuch-1", "apr-nosuch", "run-nosuch-1" };
	static const char *const beginning[] = { "run-secret", "dep-secret", "apr-secre", "run-s" };
	struct world world = make(*state, "hidden", ROLE_OPERATOR, "staging");
	struct result newest;

	for (size_t i = 0; i < ARRAY_SIZE(by_id); i++) {
		struct result a = call(&world, by_id[i], json_make(world.ctx, "{s:s}", "id", hidden[i]));
		struct result b = call(&world, by_id[i], json_make(world.ctx, "{s:s}", "id", unknown[i]));
		struct result c = call(&world, by_id[i], json_make(world.ctx, "{s:s}", "id", beginning[i]));
		char *expected = strstr(b.told, "nosuch");

		assert_int_equal(a.r, -ERR_NOT_FOUND);
		assert_int_equal(b.r, -ERR_NOT_FOUND);
		assert_int_equal(c.r, -ERR_NOT_FOUND);
		assert_non_null(expected);
		assert_int_equal(strcspn(a.told, "'"), strcspn(b.told, "'"));
		assert_memory_equal(a.told, b.told, strcspn(b.told, "'"));
		assert_memory_equal(c.told, b.told, strcspn(b.told, "'"));
	}
	newest = call(&world, "rollbacks.show", json_make(world.ctx, "{}"));
	assert_int_equal(newest.r, 0);
	assert_non_null(strstr(newest.told, "run-open-2"));
	assert_null(strstr(newest.told, "run-" SECRET));
	/* an environment that is not there, and one that may not be seen */
	assert_int_equal(call(&world, "deployments.list", json_make(world.ctx, "{s:s}", "environment", "nowhere")).r, -ERR_FORBIDDEN);
	assert_int_equal(call(&world, "deployments.list", json_make(world.ctx, "{s:s}", "environment", PLACE)).r, -ERR_FORBIDDEN);
	/* a target of another environment */
	assert_null(strstr(
		call(&world, "plans.create", json_make(world.ctx, "{s:s, s:s}", "environment", "staging", "to", "dep-secret-1")).told,
		PLACE));
	talloc_free(world.ctx);
}

static void force_is_a_permission_of_its_own(void **state)
{
	struct world world = make(*state, "force", ROLE_OPERATOR, PLACE);
	json_t *input = input_of(&world, "{\"environment\": \"production\", \"reason\": \"x\", \"force\": true}");
	json_t *undo = input_of(&world, "{\"id\": \"$RUN\", \"force\": true}");

	assert_int_equal(call(&world, "rollbacks.create", input).r, -ERR_FORBIDDEN);
	assert_int_equal(call(&world, "rollbacks.undo", undo).r, -ERR_FORBIDDEN);
	world.grant.extra = PERMISSION_BIT(PERMIT_FORCE);
	assert_int_not_equal(call(&world, "rollbacks.create", input).r, -ERR_FORBIDDEN);
	assert_int_not_equal(call(&world, "rollbacks.undo", undo).r, -ERR_FORBIDDEN);
	talloc_free(world.ctx);
}

static void a_dry_run_is_planning(void **state)
{
	struct world world = make(*state, "dry", ROLE_APPROVER, PLACE);

	assert_int_not_equal(call(&world, "rollbacks.create", input_of(&world, "{\"environment\": \"production\", \"dryRun\": true}")).r,
		-ERR_FORBIDDEN);
	assert_int_equal(call(&world, "rollbacks.create", input_of(&world, "{\"environment\": \"production\", \"reason\": \"x\"}")).r,
		-ERR_FORBIDDEN);
	talloc_free(world.ctx);
}

static void far_reaching_changes_want_a_fresh_password(void **state)
{
	struct world world = make(*state, "fresh", ROLE_ADMIN, "*");
	json_t *forced = input_of(&world, "{\"environment\": \"production\", \"reason\": \"x\", \"force\": true}");
	json_t *add_one = input_of(&world, "{\"name\": \"new\"}"), *token = input_of(&world, "{\"name\": \"t\"}"),
	       *none = json_make(world.ctx, "{}");

	world.principal.authenticated_ms = clock_wall_ms() - FRESH_MS - 1000;
	assert_int_equal(call(&world, "rollbacks.create", forced).r, -ERR_UNAUTHENTICATED);
	assert_int_equal(call(&world, "people.add", add_one).r, -ERR_UNAUTHENTICATED);
	assert_int_equal(call(&world, "tokens.create", token).r, -ERR_UNAUTHENTICATED);
	assert_int_equal(call(&world, "breakglass.open", input_of(&world, "{\"environment\": \"production\", \"reason\": \"x\"}")).r,
		-ERR_UNAUTHENTICATED);
	assert_int_equal(call(&world, "people.list", none).r, 0);
	world.principal.authenticated_ms = clock_wall_ms() + 3600000; /* the clock was set back since */
	assert_int_equal(call(&world, "people.add", add_one).r, -ERR_UNAUTHENTICATED);
	world.principal.authenticated_ms = clock_wall_ms();
	assert_int_equal(call(&world, "people.add", add_one).r, 0);
	world.principal.authenticated_ms = 0; /* a token */
	assert_int_equal(call(&world, "tokens.create", token).r, 0);
	talloc_free(world.ctx);
}

static void a_token_makes_no_tokens_and_widens_none(void **state)
{
	struct world world = make(*state, "token", ROLE_OPERATOR, PLACE);
	json_t *input = input_of(&world, "{\"name\": \"child\"}");
	struct result result;

	world.principal.authenticated_ms = 0;
	assert_int_equal(call(&world, "tokens.create", input).r, -ERR_FORBIDDEN);
	world.principal.authenticated_ms = clock_wall_ms();
	world.principal.narrowed_to = PERMISSION_BIT(PERMIT_VIEW);
	result = call(&world, "tokens.create", input);
	assert_int_equal(result.r, 0);
	assert_non_null(strstr(result.told, "[\"view\"]"));
	assert_int_equal(call(&world, "tokens.create", input_of(&world, "{\"name\": \"x\", \"permission\": [\"execute\"]}")).r,
		-ERR_FORBIDDEN);
	assert_int_equal(call(&world, "tokens.create", input_of(&world, "{\"name\": \"x\", \"environment\": [\"staging\"]}")).r,
		-ERR_NOT_FOUND);
	assert_int_equal(call(&world, "tokens.create", input_of(&world, "{\"name\": \"x\", \"principal\": \"other\"}")).r, -ERR_FORBIDDEN);
	talloc_free(world.ctx);
}

static void the_last_administrator_stays(void **state)
{
	struct world world = make(*state, "last", ROLE_ADMIN, "*");

	assert_int_equal(call(&world, "people.add",
				 input_of(&world, "{\"name\": \"ana\", \"grant\": [\"*=admin\"], \"password\": \"twelve bytes!\"}"))
				 .r,
		0);
	assert_int_equal(call(&world, "people.remove", input_of(&world, "{\"name\": \"ana\"}")).r, -ERR_REFUSED);
	assert_int_equal(call(&world, "people.change", input_of(&world, "{\"name\": \"ana\", \"grant\": [\"staging=admin\"]}")).r,
		-ERR_REFUSED);
	assert_int_equal(call(&world, "people.add",
				 input_of(&world, "{\"name\": \"ben\", \"grant\": [\"*=admin\"], \"password\": \"twelve bytes!\"}"))
				 .r,
		0);
	assert_int_equal(call(&world, "people.remove", input_of(&world, "{\"name\": \"ana\"}")).r, 0);
	talloc_free(world.ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_operation_role_and_place),
		cmocka_unit_test(no_operation_is_missing_here),
		TEST(what_may_not_be_seen_is_not_there),
		TEST(force_is_a_permission_of_its_own),
		TEST(a_dry_run_is_planning),
		TEST(far_reaching_changes_want_a_fresh_password),
		TEST(a_token_makes_no_tokens_and_widens_none),
		TEST(the_last_administrator_stays),
	};
	struct err err = ERR_INIT;
	int failed;

	json_setup();
	hash_setup();
	if (spawner_start(&err) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	spawner_stop();
	return failed;
}
