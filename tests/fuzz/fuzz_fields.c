/* Field tables: any document into a table with every type. Each problem has a text; what a secret was is never in it. */
#include "data/fields.h"
#include "data/json.h"
#include "fuzz.h"

struct inner {
	int64_t attempts;
	const char *kind;
};

struct outer {
	const char *s, *n, *p, *c;
	int64_t i, d_ms;
	double r, h;
	bool b;
	const char **l;
	json_t *m, *a, *k;
	struct inner g;
};

static const struct field inner_fields[] = { FIELD_INT(struct inner, attempts, DEFAULT("3"), 1, 10, "attempts"),
	FIELD_STR(struct inner, kind, REQUIRED, "kind"), FIELD_END };

static const struct field outer_fields[] = { FIELD_STR(struct outer, s, REQUIRED, "a string"),
	FIELD_NAME(struct outer, n, OPTIONAL, "a name"), FIELD_PATH(struct outer, p, OPTIONAL, "a path"),
	FIELD_CHOICE(struct outer, c, DEFAULT("one"), "one|two", "a choice"), FIELD_INT(struct outer, i, OPTIONAL, -5, 5, "an integer"),
	FIELD_MS(struct outer, d_ms, DEFAULT("10s"), "a duration"), FIELD_REAL(struct outer, r, OPTIONAL, 0, 0, "a real"),
	FIELD_SHARE(struct outer, h, OPTIONAL, "a share"), FIELD_BOOL(struct outer, b, OPTIONAL, "a boolean"),
	FIELD_LIST(struct outer, l, OPTIONAL, "a list"), FIELD_MAP(struct outer, m, OPTIONAL, "a map"),
	FIELD_JSON(struct outer, a, OPTIONAL, "anything"), FIELD_SECRET(struct outer, k, OPTIONAL, "a secret"),
	FIELD_GROUP(struct outer, g, OPTIONAL, inner_fields, "a group"), FIELD_END };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

static void check(void *ctx, const struct doc *doc, bool templates)
{
	struct problems *problems = problems_new(ctx, doc);
	const json_t *secret = json_object_get(doc_root(doc), "k");
	struct err err = ERR_INIT;
	struct outer outer;

	fields_parse(ctx, outer_fields, doc_root(doc), "", NULL, templates, &outer, problems);
	assert_always((problems->count == 0) == (problems_result(problems, &err) == 0));
	assert_always(outer.i >= -5 && outer.i <= 5 && outer.d_ms >= 0 && outer.h >= 0 && outer.h <= 1);
	for (size_t i = 0; i < problems->count; i++) {
		assert_always(*problems->list[i].text && problems->list[i].line > 0);
		if (json_string_length(secret) > 8 && strcmp(problems->list[i].path, "k") == 0)
			assert_always(!strstr(problems->list[i].text, json_string_value(secret)) ||
				strstr("a secret is written as a reference, {file: ...} or {env: ...}, never as a value",
					json_string_value(secret)));
	}
	(void)problems_text(ctx, problems);
	json_decref(problems_json(problems));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	struct doc *doc;

	if (doc_parse_yaml(ctx, "f", (const char *)bytes, size, &doc, &err) < 0)
		return 0;
	check(ctx, doc, false);
	check(ctx, doc, true);
	return 0;
}
