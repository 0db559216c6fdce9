/* Bodies of hooks: any JSON, read as Alertmanager's, by a mapping, and as GitHub's; and pointers: the first line of the input is one. What
 * is accepted is small, and its entry reads back. */
#include "core/hook.h"
#include "data/hash.h"
#include "data/json.h"
#include "fuzz.h"

#include <string.h>

static const char *const environments[] = { "production", "staging", NULL };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	hash_setup();
	return 0;
}

static void check_alerts(void *ctx, const struct hook_config *hook, json_t *body)
{
	struct alert *alerts;
	struct err err = ERR_INIT;
	size_t count;

	if (hook_alerts(ctx, hook, environments, body, &alerts, &count, &err) < 0) {
		assert_always(*err.text);
		return;
	}
	assert_always(count <= HOOK_ALERTS_MAX);
	for (size_t i = 0; i < count; i++) {
		json_t *data = json_keep(ctx, alert_json(ctx, &alerts[i])), *again;
		char *text = json_canonical(ctx, data);

		assert_always(*alerts[i].fingerprint && strlen(alerts[i].fingerprint) <= 512);
		assert_always(json_object_size(alerts[i].labels) <= HOOK_LABELS_MAX + 2);
		assert_always(alerts[i].started_ms >= 0 && alerts[i].ended_ms >= 0);
		assert_always(json_parse(ctx, text, strlen(text), 1u << 22, &again, &err) == 0);
	}
}

static void check_records(void *ctx, const struct hook_config *hook, const char *event, json_t *body)
{
	struct hook_record record = { 0 };
	const char *why = "";
	struct err err = ERR_INIT;
	int r = hook_record(ctx, hook, environments, event, body, INT64_C(1795000000000), &record, &why, &err);

	assert_always(r >= 0 || *err.text);
	assert_always(r != 0 || *why);
	assert_always(r <= 0 || (record.version && *record.version && record.environment));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	static const char *fires[] = { "open", NULL }, *over[] = { "closed", NULL };
	struct hook_config hook = { .name = "h", .type = HOOK_ALERTMANAGER, .environment_label = "env", .environment = "production" };
	const uint8_t *end = memchr(bytes, '\n', size);
	struct err err = ERR_INIT;
	char *pointer;
	json_t *body;

	if (!end)
		return 0;
	pointer = mem_strndup(ctx, (const char *)bytes, (size_t)(end - bytes));
	if (json_parse(ctx, (const char *)end + 1, size - (size_t)(end - bytes) - 1, 1u << 20, &body, &err) < 0)
		return 0;
	assert_always(pointer_get(body, "") == body);
	(void)pointer_get(body, pointer);
	check_alerts(ctx, &hook, body);
	hook.type = HOOK_GENERIC;
	hook.mapping = (struct hook_mapping){ .fingerprint = "/id",
		.status = "/status",
		.firing = fires,
		.resolved = over,
		.labels = "/labels",
		.starts_at = "/t" };
	check_alerts(ctx, &hook, body);
	if (pointer_check(pointer, &err) == 0) {
		hook.mapping.each = pointer;
		check_alerts(ctx, &hook, body);
		hook.mapping.version = pointer;
		check_records(ctx, &hook, NULL, body);
	}
	hook.type = HOOK_GITHUB;
	check_records(ctx, &hook, "deployment_status", body);
	return 0;
}
