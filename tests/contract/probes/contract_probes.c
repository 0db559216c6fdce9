/* One suite for every probe: what is well passes, what is not fails with a sentence, what hangs fails in time, what cannot work is an
 * error, and looking changes nothing.
 * To join: a row in `rows`. A probe of probe_list without a row fails the suite. */
#include "checks.h"

#include "base/clock.h"
#include "base/fs.h"
#include "data/json.h"
#include "http_server.h"
#include "probes/list.h"
#include "worker_call.h"

struct row {
	const char *name;
	const char *well, *ill; /* configurations; "PORT" is the server's port, "CLOSED" one at which nobody listens */
	const char *hangs;      /* NULL: cannot hang */
	const char *impossible;
};

static const struct row rows[] = {
	{ "http", "{'url': 'http://127.0.0.1:PORT/ok'}", "{'url': 'http://127.0.0.1:CLOSED/ok'}", "{'url': 'http://127.0.0.1:PORT/hang'}",
		"{'url': 'mailto:x'}" },
	{ "tcp", "{'port': PORT}", "{'port': CLOSED}", NULL, "{}" },
	{ "process", "{'pidFile': 'own.pid'}", "{'pidFile': 'none.pid'}", NULL, NULL },
	{ "exec", "{'argv': ['./good']}", "{'argv': ['./bad']}", "{'argv': ['./hang']}", "{'argv': ['./none']}" },
};

struct world {
	struct http_server server;
	char folder[40];
	unsigned closed;
	int held;
};

static char *fill(struct world *world, const char *text)
{
	char *out = mem_strdup(world, "");

	while (*text) {
		bool port = strncmp(text, "PORT", 4) == 0, closed = strncmp(text, "CLOSED", 6) == 0;

		out = port || closed ? mem_appendf(out, "%u", port ? world->server.port : world->closed) : mem_appendf(out, "%c", *text);
		text += port ? 4 : closed ? 6 : 1;
	}
	return out;
}

static void put(struct world *world, const char *name, const char *text)
{
	_cleanup_talloc_ char *path = fs_join(NULL, world->folder, name);
	struct err err = ERR_INIT;

	assert_int_equal(fs_write_atomic(path, text, strlen(text), 0755, &err), 0);
}

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	snprintf(world->folder, sizeof(world->folder), "/tmp/unship-probes-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	http_server_start(&world->server, NULL);
	world->closed = closed_port(&world->held);
	put(world, "own.pid", mem_printf(world, "%d\n", (int)getpid()));
	put(world, "good", "#!/bin/sh\necho 'OK: all is well | a=1'\n");
	put(world, "bad", "#!/bin/sh\nprintf 'CRITICAL: \\033[31mit is not\\nmore\\n'\nexit 2\n");
	put(world, "hang", "#!/bin/sh\nsleep 60\n");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err = ERR_INIT;

	http_server_stop(&world->server);
	close(world->held);
	assert_int_equal(fs_remove_tree(world->folder, &err), 0);
	talloc_free(world);
	return 0;
}

static const struct row *row_of(const struct probe *probe)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].name, probe->name) == 0)
			return &rows[i];
	fail_msg("probe '%s' has no row in the contract suite", probe->name);
	return NULL;
}

static int run(struct world *world, const struct probe *probe, const char *config, int64_t limit_ms, struct probe_result *ret,
	struct err *err)
{
	struct driver_call *call = worker_call(world, probe->fields, probe->params_size, world->folder, fill(world, config));

	call->deadline_ms = clock_mono_ms() + limit_ms;
	*ret = (struct probe_result){ .status = PROBE_WARN };
	*err = ERR_INIT;
	return probe->run(call, ret, err);
}

/* One line, nothing that a terminal would obey. */
static void check_message(const struct probe *probe, const struct probe_result *result)
{
	assert_non_null(result->message);
	if (!*result->message)
		fail_msg("%s says nothing", probe->name);
	for (const char *c = result->message; *c; c++)
		assert_true((unsigned char)*c >= 0x20);
	assert_true(!result->details || json_is_object(result->details));
}

static void test_described(void **state)
{
	for (const struct probe *const *probe = probe_list; *probe; probe++) {
		assert_true(*(*probe)->name && *(*probe)->summary && (*probe)->fields && (*probe)->run);
		for (const struct field *field = (*probe)->fields; field->member; field++)
			assert_true(field->help && *field->help);
		(void)row_of(*probe);
	}
}

static void test_well_and_ill(void **state)
{
	struct world *world = *state;

	for (const struct probe *const *probe = probe_list; *probe; probe++) {
		const struct row *row = row_of(*probe);
		struct probe_result result;
		struct err err;

		for (int again = 0; again < 2; again++) {
			assert_int_equal(run(world, *probe, row->well, 5000, &result, &err), 0);
			check_message(*probe, &result);
			assert_int_equal(result.status, PROBE_PASS);
			assert_int_equal(run(world, *probe, row->ill, 5000, &result, &err), 0);
			check_message(*probe, &result);
			assert_int_equal(result.status, PROBE_FAIL);
		}
	}
}

static void test_hanging(void **state)
{
	struct world *world = *state;

	for (const struct probe *const *probe = probe_list; *probe; probe++) {
		const struct row *row = row_of(*probe);
		struct probe_result result;
		struct err err;

		if (!row->hangs)
			continue;
		assert_int_equal(run(world, *probe, row->hangs, 400, &result, &err), 0);
		check_message(*probe, &result);
		assert_int_equal(result.status, PROBE_FAIL);
	}
}

static void test_impossible(void **state)
{
	struct world *world = *state;

	for (const struct probe *const *probe = probe_list; *probe; probe++) {
		const struct row *row = row_of(*probe);
		struct probe_result result;
		struct err err;

		if (!row->impossible)
			continue;
		assert_true(run(world, *probe, row->impossible, 5000, &result, &err) < 0);
		assert_true(*err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_described),
		cmocka_unit_test_setup_teardown(test_well_and_ill, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hanging, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_impossible, set_up, tear_down),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
