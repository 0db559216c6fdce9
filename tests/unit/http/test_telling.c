/* cloudevents.c and otlp.c: what entries look like to others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "data/hash.h"
#include "data/json.h"
#include "surface/http/cloudevents.h"
#include "surface/http/otlp.h"

static const struct telling telling = { .project = "shop one", .source = "/unship/shop" };

static struct entry make_entry(const char *kind, const char *run, int64_t seq, json_t *data)
{
	return (struct entry){ .seq = seq,
		.id = "ent-1",
		.wall_ms = 1000 * seq,
		.kind = kind,
		.environment = "production",
		.run = run,
		.actor = "ana",
		.data = data,
		.previous = "p",
		.hash = "h" };
}

static json_t *cdevents(void *ctx, const struct entry *entry, const struct told_change *change)
{
	return json_keep(ctx, cdevents_of(ctx, &telling, entry, change));
}

static const char *type_at(json_t *events, size_t index)
{
	return json_str(json_array_get(events, index), "type", "none");
}

static void a_cloudevent(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = make_entry(ENTRY_FLAG_SET, NULL, 7, json_make(ctx, "{s:s}", "flag", "f"));
	json_t *events = json_keep(ctx, cloudevents_of(ctx, &telling, &entry));

	(void)state;
	assert_string_equal(json_canonical(ctx, events),
		"[{\"data\":{\"actor\":\"ana\",\"at\":\"1970-01-01T00:00:07.000Z\",\"data\":{\"flag\":\"f\"},\"environment\":\"production\",\"hash\":\"h\",\"id\":\"ent-1\","
		"\"kind\":\"flag.set\",\"previous\":\"p\",\"seq\":7},\"datacontenttype\":\"application/json\",\"environment\":\"production\",\"id\":\"ent-1\","
		"\"sequence\":\"0000000000000000007\",\"source\":\"/unship/shop\",\"specversion\":\"1.0\",\"subject\":\"production\","
		"\"time\":\"1970-01-01T00:00:07.000Z\",\"type\":\"unship.flag.set\"}]");
}

static void changes_of_services(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *before = json_make(ctx, "{s:{s:s}, s:{s:s}}", "api", "version", "1", "db", "version", "5");
	json_t *after = json_make(ctx, "{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}", "api", "version", "2/x", "db", "version", "5", "web",
		"version", "3", "empty", "version", "");
	struct told_change change = { .before = before, .after = after };
	struct entry recorded = make_entry(ENTRY_DEPLOYMENT_RECORDED, NULL, 1, json_make(ctx, "{s:{}}", "deployment"));
	struct entry ended = make_entry(ENTRY_RUN_ENDED, "run-1", 2, json_make(ctx, "{s:s}", "status", "completed"));
	json_t *events = cdevents(ctx, &recorded, &change), *subject;

	(void)state;
	assert_true(cdevents_needs_change(&recorded) && cdevents_needs_change(&ended));
	assert_int_equal(json_array_size(events), 2);
	assert_string_equal(type_at(events, 0), "dev.cdevents.service.upgraded.0.3.0");
	assert_string_equal(type_at(events, 1), "dev.cdevents.service.deployed.0.3.0");
	assert_string_equal(json_str(json_array_get(events, 0), "id", ""), "ent-1.api");
	subject = json_object_get(json_object_get(json_array_get(events, 0), "data"), "subject");
	assert_string_equal(json_str(json_object_get(subject, "content"), "artifactId", ""), "pkg:generic/shop%20one/api@2%2Fx");
	events = cdevents(ctx, &ended, &change);
	assert_int_equal(json_array_size(events), 3);
	assert_string_equal(type_at(events, 0), "dev.cdevents.pipelinerun.finished.0.3.0");
	assert_string_equal(type_at(events, 1), "dev.cdevents.service.rolledback.0.3.0");
	change.undone = true;
	assert_string_equal(type_at(cdevents(ctx, &ended, &change), 1), "dev.cdevents.service.upgraded.0.3.0");
	recorded.data = json_make(ctx, "{s:{s:s}}", "deployment", "rollbackOf", "run-1");
	assert_int_equal(json_array_size(cdevents(ctx, &recorded, &change)), 0);
	assert_int_equal(json_array_size(cdevents(ctx, &ended, NULL)), 1);
	ended.data = json_make(ctx, "{s:s, s:s}", "status", "restored", "message", "it broke");
	events = cdevents(ctx, &ended, &change);
	assert_int_equal(json_array_size(events), 1);
	subject = json_object_get(json_object_get(json_array_get(events, 0), "data"), "subject");
	assert_string_equal(json_str(json_object_get(subject, "content"), "outcome", ""), "failure");
	assert_string_equal(json_str(json_object_get(subject, "content"), "errors", ""), "it broke");
}

static void what_is_no_cdevent(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entries[] = { make_entry(ENTRY_FLAG_SET, NULL, 1, json_make(ctx, "{}")),
		make_entry(ENTRY_RUN_STARTED, "r", 1, json_make(ctx, "{s:b}", "resumed", 1)),
		make_entry(ENTRY_RUN_ENDED, NULL, 1, json_make(ctx, "{}")), make_entry(ENTRY_SIGNAL_ALERT, NULL, 1, json_make(ctx, "{}")) };

	(void)state;
	entries[3].environment = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		assert_int_equal(json_array_size(cdevents(ctx, &entries[i], NULL)), 0);
}

static json_t *step(void *ctx, const char *id, const char *verb, int attempt, const char *outcome)
{
	json_t *data = json_make(ctx, "{s:s, s:s, s:i}", "step", id, "verb", verb, "attempt", attempt);

	json_put_str(data, "outcome", outcome);
	return data;
}

static void a_trace(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entries[] = {
		make_entry(ENTRY_RUN_REQUESTED, "run-1", 1,
			json_make(ctx, "{s:{s:[{s:s, s:s}]}}", "plan", "steps", "id", "a", "name", "Step A")),
		make_entry(ENTRY_STEP_ENDED, "run-1", 3, step(ctx, "a", "capture", 1, "done")),
		make_entry(ENTRY_STEP_BEGUN, "run-1", 4, step(ctx, "a", "apply", 1, NULL)),
		make_entry(ENTRY_STEP_ENDED, "run-1", 6, step(ctx, "a", "apply", 1, "failed")),
		make_entry(ENTRY_STEP_BEGUN, "run-1", 7, step(ctx, "a", "apply", 2, NULL)),
		make_entry(ENTRY_STEP_ENDED, "run-1", 9, step(ctx, "a", "apply", 2, "done")),
		make_entry(ENTRY_STEP_ENDED, "run-1", 10, step(ctx, "b", "apply", 1, "failed")),
		make_entry(ENTRY_RUN_ENDED, "run-1", 12,
			json_make(ctx, "{s:s, s:s, s:s}", "status", "failed", "code", "driver", "message", "no")),
	};
	json_t *trace, *spans, *root, *failed;

	(void)state;
	json_put_int(entries[1].data, "durationMs", 1500);
	json_put_str(entries[3].data, "code", "timeout");
	json_put_flag(entries[6].data, "notBegun", true);
	assert_null(otlp_trace(ctx, "shop", entries, 7));
	assert_null(otlp_trace(ctx, "shop", entries + 1, 7));
	assert_null(otlp_trace(ctx, "shop", entries, 0));
	trace = json_keep(ctx, otlp_trace(ctx, "shop", entries, 8));
	assert_string_equal(json_canonical(ctx, trace), json_canonical(ctx, json_keep(ctx, otlp_trace(ctx, "shop", entries, 8))));
	spans = json_object_get(
		json_array_get(json_object_get(json_array_get(json_object_get(trace, "resourceSpans"), 0), "scopeSpans"), 0), "spans");
	assert_int_equal(json_array_size(spans), 4);
	root = json_array_get(spans, 0);
	assert_null(json_object_get(root, "parentSpanId"));
	assert_string_equal(json_str(root, "startTimeUnixNano", ""), "1000000000");
	assert_string_equal(json_str(root, "endTimeUnixNano", ""), "12000000000");
	assert_int_equal(json_int(json_object_get(root, "status"), "code", 0), 2);
	assert_string_equal(json_str(json_object_get(root, "status"), "message", ""), "no");
	assert_string_equal(json_str(json_array_get(spans, 1), "startTimeUnixNano", ""), "1500000000");
	failed = json_array_get(spans, 2);
	assert_string_equal(json_str(failed, "startTimeUnixNano", ""), "4000000000");
	assert_string_equal(json_str(failed, "endTimeUnixNano", ""), "6000000000");
	assert_string_equal(json_str(failed, "parentSpanId", ""), json_str(root, "spanId", "-"));
	assert_non_null(strstr(json_canonical(ctx, failed), "{\"key\":\"error.type\",\"value\":{\"stringValue\":\"timeout\"}}"));
	assert_non_null(strstr(json_canonical(ctx, failed), "{\"key\":\"unship.step.attempt\",\"value\":{\"intValue\":\"1\"}}"));
	assert_int_equal(json_int(json_object_get(json_array_get(spans, 3), "status"), "code", 0), 1);
}

static void headers(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	const char **lines = otlp_headers(ctx, "a=b, c = d%20e%2C ,none,=x,bad name=y,f=%0d%0aInjected: z,g=1=2,h=");

	(void)state;
	assert_string_equal(lines[0], "a: b");
	assert_string_equal(lines[1], "c: d e,");
	assert_string_equal(lines[2], "g: 1=2");
	assert_string_equal(lines[3], "h: ");
	assert_null(lines[4]);
	assert_null(otlp_headers(ctx, "")[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cloudevent),
		cmocka_unit_test(changes_of_services),
		cmocka_unit_test(what_is_no_cdevent),
		cmocka_unit_test(a_trace),
		cmocka_unit_test(headers),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
