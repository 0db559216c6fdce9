/* One suite for every channel: a message is delivered, also twice with the same id; what is no address is refused before anything is
 * sent; what is down may be tried again, what is refused for good
 * may not; nothing of an address's path is told. To join: a row in `rows`. A channel of channel_list without a row fails the suite. */
#include "checks.h"

#include "base/clock.h"
#include "channels/list.h"
#include "data/hash.h"
#include "data/json.h"
#include "http_server.h"
#include "worker_call.h"

struct row {
	const char *name, *config;
	const char *good;     /* recipients; "PORT" and "CLOSED" as ports */
	const char *bad;      /* not an address */
	const char *down;     /* cannot be reached now; NULL: there is no such thing */
	const char *refusing; /* answers that it never will; NULL */
	bool sends;           /* through the server: each delivery is one request */
};

static const struct row rows[] = {
	{ "in-app", "{}", "ops", "", NULL, NULL, false },
	{ "webhook", "{'local': true}", "http://127.0.0.1:PORT/ok", "ops", "http://127.0.0.1:CLOSED/hidden-path",
		"http://127.0.0.1:PORT/status/404?hidden", true },
};

struct world {
	struct http_server server;
	struct message message;
	unsigned closed;
	int held;
};

static int set_up(void **state)
{
	struct world *world = mem_zero(NULL, struct world);

	http_server_start(&world->server, NULL);
	world->closed = closed_port(&world->held);
	world->message = (struct message){ .id = "ntf-1", .event = "completed", .text = "done", .wall_ms = 1 };
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	http_server_stop(&world->server);
	close(world->held);
	talloc_free(world);
	return 0;
}

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

static const struct row *row_of(const struct channel *channel)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].name, channel->name) == 0)
			return &rows[i];
	fail_msg("channel '%s' has no row in the contract suite", channel->name);
	return NULL;
}

static int deliver(struct world *world, const struct channel *channel, const char *recipient, struct err *err)
{
	struct driver_call *call = worker_call(world, channel->fields, channel->params_size, "/tmp", row_of(channel)->config);

	*err = ERR_INIT;
	return channel->deliver(call, &world->message, fill(world, recipient), err);
}

static void test_described(void **state)
{
	for (const struct channel *const *channel = channel_list; *channel; channel++) {
		assert_true(*(*channel)->name && *(*channel)->summary && (*channel)->fields && (*channel)->deliver);
		for (const struct field *field = (*channel)->fields; field->member; field++)
			assert_true(field->help && *field->help);
		(void)row_of(*channel);
	}
}

static void test_delivered(void **state)
{
	struct world *world = *state;

	for (const struct channel *const *channel = channel_list; *channel; channel++) {
		const struct row *row = row_of(*channel);
		unsigned before = world->server.requests;
		struct err err;

		for (unsigned i = 1; i <= 2; i++) { /* twice: the same id goes along, so that the receiver can tell */
			if (deliver(world, *channel, row->good, &err) < 0)
				fail_msg("%s: %s", row->name, err.text);
			if (row->sends) {
				assert_int_equal(world->server.requests, before + i);
				assert_non_null(strstr(http_server_last(&world->server, world), "ntf-1"));
			}
		}
	}
}

static void test_addresses(void **state)
{
	struct world *world = *state;

	for (const struct channel *const *channel = channel_list; *channel; channel++) {
		const struct row *row = row_of(*channel);
		struct err err = ERR_INIT;

		assert_non_null((*channel)->check_recipient);
		assert_int_equal((*channel)->check_recipient(fill(world, row->good), &err), 0);
		assert_int_equal((*channel)->check_recipient(row->bad, &err), -ERR_INVALID);
		assert_int_equal(deliver(world, *channel, row->bad, &err), -ERR_INVALID);
	}
	assert_int_equal(world->server.requests, 0);
}

static void test_failures(void **state)
{
	struct world *world = *state;

	for (const struct channel *const *channel = channel_list; *channel; channel++) {
		const struct row *row = row_of(*channel);
		struct err err;
		int r;

		if (row->down) {
			r = deliver(world, *channel, row->down, &err);
			assert_true(r == -ERR_UNREACHABLE || r == -ERR_TIMEOUT);
			assert_null(strstr(err.text, "hidden"));
		}
		if (row->refusing) {
			r = deliver(world, *channel, row->refusing, &err);
			assert_true(r < 0 && r != -ERR_UNREACHABLE && r != -ERR_TIMEOUT);
			assert_null(strstr(err.text, "hidden"));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_described),
		cmocka_unit_test_setup_teardown(test_delivered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
