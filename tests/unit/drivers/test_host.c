/* The worker's side of the protocol: what it reads, what it refuses, what it answers, and that no secret leaves it. */
#include "worker.h"

struct fake_params {
	const char *colour;
	json_t *token;
};

static const struct field fake_fields[] = {
	FIELD_STR(struct fake_params, colour, REQUIRED, "a colour"),
	FIELD_SECRET(struct fake_params, token, OPTIONAL, "a secret"),
	FIELD_END,
};

static int fake_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	const struct fake_params *p = call->params;

	(void)err;
	(void)printf("a library that talks\n");
	*ret = (struct observation){ .version = p->colour,
		.state = "present",
		.healthy = 1,
		.at_target = call->target ? 0 : -1,
		.details = json_make(call->ctx, "{s:s}", "who", call->actor ? call->actor : "nobody") };
	return 0;
}

static int fake_apply(struct driver_call *call, json_t *outputs, struct err *err)
{
	const struct fake_params *p = call->params;
	const char *secret = "", *how = json_str(call->target, "how", "");
	int r;

	r = p->token ? call_secret(call, p->token, &secret, err) : 0;
	if (r < 0)
		return r;
	if (strcmp(how, "large") == 0) {
		(void)json_object_set_new(outputs, "text",
			json_stringn(memset(mem_array(call->ctx, char, HOST_ANSWER_MAX), 'x', HOST_ANSWER_MAX), HOST_ANSWER_MAX));
		return 0;
	}
	call_log(call, LOG_WARN, "using %s now", secret);
	call_progress(call, 0.5, "half of %s", secret);
	if (strcmp(how, "fail") == 0)
		return err_set(err, ERR_UNREACHABLE, "cannot log in with %s", secret);
	json_put_str(outputs, "url", mem_printf(call->ctx, "http://x/?token=%s", secret));
	json_put_int(outputs, "left", call->deadline_ms - clock_mono_ms());
	return 0;
}

static int fake_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	(void)err;
	findings_add(ret, "artefact_available", false, SEVERITY_ERROR, call->name, NULL, "gone");
	return 0;
}

static int fake_capture(struct driver_call *call, struct err *err)
{
	return fs_write_atomic(fs_join(call->ctx, call->snapshot_dir, "x"), "1", 1, 0600, err);
}

static const struct driver fake = {
	.name = "fake",
	.summary = "for this test",
	.kind = DRIVER_CACHE,
	.fields = fake_fields,
	.params_size = sizeof(struct fake_params),
	.keeps = true,
	.observe = fake_observe,
	.apply = fake_apply,
	.check = fake_check,
	.capture = fake_capture,
};

struct look_params {
	int64_t timeout_ms;
};
static const struct field look_fields[] = {
	FIELD_MS(struct look_params, timeout_ms, DEFAULT("1s"), "limit"),
	FIELD_END,
};
static int look_run(struct driver_call *call, struct probe_result *ret, struct err *err)
{
	(void)err;
	*ret = (struct probe_result){ .status = PROBE_WARN,
		.message = mem_printf(call->ctx, "limit %d", (int)((const struct look_params *)call->params)->timeout_ms) };
	return 0;
}
static const struct probe look = {
	.name = "look",
	.summary = "s",
	.fields = look_fields,
	.params_size = sizeof(struct look_params),
	.run = look_run,
};

static int tell_deliver(struct driver_call *call, const struct message *message, const char *recipient, struct err *err)
{
	if (strcmp(message->recipients[0], recipient) != 0 || message->wall_ms != 77 || !message->run_id)
		return err_set(err, ERR_INTERNAL, "message was not read right");
	call_log(call, LOG_INFO, "%s to %s: %s", message->event, recipient, message->text);
	return 0;
}
static int tell_check(const char *recipient, struct err *err)
{
	return strcmp(recipient, "nobody") == 0 ? err_set(err, ERR_INVALID, "who?") : 0;
}
static const struct field no_fields[] = {
	FIELD_END,
};
static const struct channel tell = {
	.name = "tell",
	.summary = "s",
	.fields = no_fields,
	.check_recipient = tell_check,
	.deliver = tell_deliver,
};

static const struct driver *const drivers[] = { &fake, NULL };
static const struct probe *const probes[] = { &look, NULL };
static const struct channel *const channels[] = { &tell, NULL };
static const struct catalogue catalogue = { drivers, probes, channels };

static json_t *red(struct worker *w)
{
	return json_make(w->ctx, "{s:s, s:s, s:s}", "driver", "fake", "name", "app", "colour", "red");
}

static void test_describe(void **state)
{
	struct worker w;
	json_t *result;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "fake");
	result = json_object_get(worker_ask(&w, json_make(w.ctx, "{s:s}", "verb", "describe")), "result");
	assert_string_equal(json_str(result, "name", ""), "fake");
	assert_string_equal(json_str(result, "kind", ""), "cache");
	assert_true(json_flag(result, "keeps", false));
	assert_int_equal(json_int(result, "protocol", 0), 1);
	assert_int_equal(json_array_size(json_object_get(result, "verbs")), 5); /* no undo */
	assert_int_equal(json_array_size(json_object_get(result, "fields")), 2);
	worker_end(&w);
}

static void test_verbs(void **state)
{
	struct worker w;
	json_t *result;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "fake");
	result = worker_result(&w, "observe", red(&w), json_make(w.ctx, "{s:s}", "actor", "ana"));
	assert_string_equal(json_str(result, "version", ""), "red");
	assert_true(json_is_true(json_object_get(result, "healthy")));
	assert_true(json_is_null(json_object_get(result, "atTarget")));
	assert_string_equal(json_str(json_object_get(result, "details"), "who", ""), "ana");
	assert_null(strstr(w.said, "a library")); /* what others print is not the protocol */
	result = worker_result(&w, "observe", red(&w), json_make(w.ctx, "{s:{}}", "target"));
	assert_true(json_is_false(json_object_get(result, "atTarget")));
	result = worker_result(&w, "check", red(&w), NULL);
	assert_string_equal(json_str(json_array_get(json_object_get(result, "findings"), 0), "name", ""), "artefact_available");
	result = worker_result(&w, "apply", red(&w), json_make(w.ctx, "{s:{}, s:i}", "target", "deadlineMs", 5000));
	assert_in_range(json_int(json_object_get(result, "outputs"), "left", -1), 1, 5000);
	result = worker_result(&w, "capture", red(&w), json_make(w.ctx, "{s:s}", "snapshotDir", fs_join(w.ctx, w.dir, "a/b")));
	assert_string_equal(json_str(result, "version", ""), "red"); /* what stood there, without another call */
	assert_null(json_object_get(result, "atTarget"));
	assert_true(fs_exists(fs_join(w.ctx, w.dir, "a/b/x")));
	worker_error(&w, "undo", red(&w), json_make(w.ctx, "{s:s}", "snapshotDir", w.dir), "unsupported");
	worker_error(&w, "dance", red(&w), NULL, "unsupported");
	worker_end(&w);
}

static void test_bad_requests(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{ "nonsense\n", "request" },
		{ "[1]\n", "'verb' is missing" },
		{ "{\"verb\":\"observe\",\"verb\":\"observe\"}\n", "request" },
		{ "{\"verb\":7}\n", "'verb' is missing" },
		{ "{\"verb\":\"observe\",\"component\":{\"colour\":\"red\"}}\n", "'projectDir' is missing" },
		{ "{\"verb\":\"observe\",\"component\":{\"colour\":\"red\"},\"projectDir\":\"x\"}\n", "not an absolute path" },
		{ "{\"verb\":\"observe\",\"component\":{\"colour\":\"red\"},\"projectDir\":\"/\",\"snapshotDir\":\"../x\"}\n",
			"'snapshotDir' is not an absolute path" },
		{ "{\"verb\":\"observe\",\"component\":{\"colour\":\"red\"},\"projectDir\":\"/\",\"target\":3}\n",
			"'target' is not an object" },
		{ "{\"verb\":\"observe\",\"component\":{\"colour\":\"red\"},\"projectDir\":\"/\",\"deadlineMs\":-1}\n", "deadlineMs" },
		{ "{\"verb\":\"observe\",\"component\":{\"colour\":\"red\"},\"projectDir\":\"/\",\"protocol\":2}\n", "version 1" },
		{ "{\"verb\":\"observe\",\"component\":{\"colur\":\"red\"},\"projectDir\":\"/\"}\n", "colour" },
		{ "{\"verb\":\"apply\",\"component\":{\"colour\":\"red\"},\"projectDir\":\"/\"}\n", "'target' is missing" },
		{ "{\"verb\":\"capture\",\"component\":{\"colour\":\"red\"},\"projectDir\":\"/\"}\n", "'snapshotDir' is missing" },
		{ "{\"verb\":\"describe\"}", "not complete" },
	};
	struct worker w;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "fake");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		worker_talk(&w, bad[i].line, strlen(bad[i].line));
		if (!strstr(w.said, "{\"error\":{") || !strstr(w.said, bad[i].says))
			print_error("%s -> %s\n", bad[i].line, w.said);
		assert_non_null(strstr(w.said, "{\"error\":{"));
		assert_non_null(strstr(w.said, bad[i].says));
	}
	worker_end(&w);
}

static void test_sizes(void **state)
{
	struct worker w;
	size_t size = HOST_REQUEST_MAX + 100000;
	char *line;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "fake");
	line = mem_array(w.ctx, char, size);
	memset(line, 'x', size);
	worker_talk(&w, line, size);
	assert_non_null(strstr(w.said, "too-large"));
	assert_int_equal(w.exit_code, 1);
	worker_error(&w, "apply", red(&w), json_make(w.ctx, "{s:{s:s}}", "target", "how", "large"), "too-large");
	worker_end(&w);
}

static void test_several_requests(void **state)
{
	const char *both = "{\"verb\":\"describe\"}\nrubbish\n{\"verb\":\"describe\"}\n", *at;
	struct worker w;
	int count = 0;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "fake");
	worker_talk(&w, both, strlen(both));
	for (at = w.said; (at = strchr(at, '\n')); at++)
		count++;
	assert_int_equal(count, 3); /* the one in the middle does no harm */
	assert_int_equal(w.exit_code, 0);
	worker_end(&w);
}

static void test_secrets(void **state)
{
	struct err err = ERR_INIT;
	struct worker w;
	json_t *with_file;
	const char *message;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "fake");
	assert_int_equal(fs_write_atomic(fs_join(w.ctx, w.dir, "token"), "s3cr\"et-value\n", 14, 0600, &err), 0);
	with_file = json_make(w.ctx, "{s:s, s:{s:s}}", "colour", "red", "token", "file", "token");
	worker_result(&w, "apply", with_file, json_make(w.ctx, "{s:{}}", "target"));
	assert_null(strstr(w.said, "s3cr"));
	assert_non_null(strstr(w.said, "using [secret] now"));
	assert_non_null(strstr(w.said, "half of [secret]"));
	assert_non_null(strstr(w.said, "token=[secret]"));
	message = worker_error(&w, "apply", with_file, json_make(w.ctx, "{s:{s:s}}", "target", "how", "fail"), "unreachable");
	assert_string_equal(message, "cannot log in with [secret]");
	assert_non_null(strstr(w.said, "\"retryable\":true"));

	/* A secret that is a word of the protocol does not break it. */
	assert_int_equal(setenv("UNSHIP_TEST_SECRET", "result", 1), 0);
	worker_result(&w, "apply", json_make(w.ctx, "{s:s, s:{s:s}}", "colour", "red", "token", "env", "UNSHIP_TEST_SECRET"),
		json_make(w.ctx, "{s:{}}", "target"));
	assert_int_equal(unsetenv("UNSHIP_TEST_SECRET"), 0);
	message = worker_error(&w, "apply", json_make(w.ctx, "{s:s, s:{s:s}}", "colour", "red", "token", "env", "UNSHIP_TEST_SECRET"),
		json_make(w.ctx, "{s:{}}", "target"), "not-found");
	assert_non_null(strstr(message, "UNSHIP_TEST_SECRET"));

	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", w.dir, 1), 0);
	worker_result(&w, "apply", json_make(w.ctx, "{s:s, s:{s:s}}", "colour", "red", "token", "credential", "token"),
		json_make(w.ctx, "{s:{}}", "target"));
	assert_non_null(strstr(w.said, "using [secret] now"));
	worker_error(&w, "apply", json_make(w.ctx, "{s:s, s:{s:s}}", "colour", "red", "token", "credential", "../token"),
		json_make(w.ctx, "{s:{}}", "target"), "invalid");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	worker_error(&w, "apply", json_make(w.ctx, "{s:s, s:s}", "colour", "red", "token", "plain-text"),
		json_make(w.ctx, "{s:{}}", "target"), "invalid");
	assert_null(strstr(w.said, "plain-text"));
	worker_end(&w);
}

static void test_probe_and_channel(void **state)
{
	struct worker w;
	json_t *result, *request;

	(void)state;
	worker_begin(&w, &catalogue, "probe", "look");
	request = json_make(w.ctx, "{s:s, s:{s:s, s:s, s:s}, s:s}", "verb", "probe", "config", "type", "look", "every", "30s", "timeout",
		"3s", "projectDir", w.dir);
	result = json_object_get(worker_ask(&w, request), "result");
	assert_string_equal(json_str(result, "status", ""), "warn");
	assert_string_equal(json_str(result, "message", ""), "limit 3000");
	worker_end(&w);

	worker_begin(&w, &catalogue, "channel", "tell");
	request = json_make(w.ctx, "{s:s, s:n, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:i}}", "verb", "deliver", "config", "projectDir", w.dir,
		"recipient", "ana", "message", "id", "n1", "event", "start", "text", "hello", "runId", "run-1", "timestampMs", 77);
	assert_non_null(json_object_get(worker_ask(&w, request), "result"));
	assert_true(worker_logged(&w, "start to ana: hello"));
	(void)json_object_set_new(request, "recipient", json_string("nobody"));
	assert_string_equal(json_str(json_object_get(worker_ask(&w, request), "error"), "code", ""), "invalid");
	(void)json_object_del(request, "recipient");
	assert_string_equal(json_str(json_object_get(worker_ask(&w, request), "error"), "code", ""), "invalid");
	worker_end(&w);
}

static void test_wrong_start(void **state)
{
	struct worker w;

	(void)state;
	worker_begin(&w, &catalogue, "driver", "nothing");
	worker_talk(&w, "", 0);
	assert_int_equal(w.exit_code, 2);
	assert_string_equal(w.said, "");
	worker_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_several_requests),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_probe_and_channel),
		cmocka_unit_test(test_wrong_start),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
