/* What the tests of compatibility share: facts from text, and questions about what was found. */
#ifndef TESTS_CORE_COMPAT_GIVEN_H
#define TESTS_CORE_COMPAT_GIVEN_H

#include "given.h"

#include "core/compat.h"

/* {live, target, returning: [names], preserveData, from, to} */
static inline struct findings *check(void *ctx, const char *text)
{
	json_t *root = given(ctx, text), *returning = json_keep(ctx, json_object()), *name;
	struct findings *findings = findings_new(ctx);
	struct compat_input input = { .from_version = json_str(root, "from", NULL),
		.to_version = json_str(root, "to", NULL),
		.live = json_object_get(root, "live"),
		.target = json_object_get(root, "target"),
		.returning = returning,
		.preserve_data = json_flag(root, "preserveData", true) };
	size_t i;

	json_array_foreach(json_object_get(root, "returning"), i, name)
		json_object_set_new(returning, json_string_value(name), json_true());
	compat_check(&input, findings);
	return findings;
}

static inline const struct finding *find(const struct findings *findings, const char *name, size_t nth)
{
	for (size_t i = 0; i < findings->count; i++)
		if (strcmp(findings->list[i].name, name) == 0 && nth-- == 0)
			return &findings->list[i];
	return NULL;
}

static inline size_t count_of(const struct findings *findings, const char *name)
{
	size_t count = 0;

	while (find(findings, name, count))
		count++;
	return count;
}

static inline void expect_passed(const struct findings *findings, const char *name)
{
	const struct finding *finding = find(findings, name, 0);

	if (!finding || !finding->passed || count_of(findings, name) != 1)
		fail_msg("%s: %s", name, finding ? finding->message : "says nothing");
}

static inline void expect_failed(const struct findings *findings, const char *name, enum severity severity, const char *words)
{
	for (size_t i = 0; i < count_of(findings, name); i++) {
		const struct finding *finding = find(findings, name, i);

		if (!finding->passed && finding->severity == severity && strstr(finding->message, words))
			return;
	}
	fail_msg("%s: no %s that says '%s' among %zu (first: %s)", name, severity_name(severity), words, count_of(findings, name),
		find(findings, name, 0) ? find(findings, name, 0)->message : "none");
}

#endif
