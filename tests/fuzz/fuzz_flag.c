/* Definitions of flags: any document. Each problem has a text and a place; what has none reads back as the same, and evaluates to one of
 * its variants in every state and context; off is the off variant. */
#include "core/flag.h"
#include "data/hash.h"
#include "data/json.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	hash_setup();
	return 0;
}

static void check_evaluation(const struct flag *flag, json_t *context)
{
	struct flag_result result = flag_evaluate(flag, (struct flag_state){ .standing = FLAG_OFF }, context);

	assert_always(result.reason == FLAG_DISABLED && result.variant == &flag->variants[flag->off]);
	result = flag_evaluate(flag, (struct flag_state){ .standing = FLAG_ON }, context);
	assert_always(result.variant >= flag->variants && result.variant < flag->variants + flag->variant_count);
	assert_always((result.reason == FLAG_STATIC) == (flag->rule_count == 0));
	for (size_t i = 0; i < flag->variant_count; i++) {
		struct flag_state state;
		struct err err = ERR_INIT;

		assert_always(flag_state_parse(flag, flag->variants[i].name, &state, &err) == 0);
		assert_always(flag_evaluate(flag, state, context).variant == &flag->variants[i]);
	}
}

/* The document is a definition, and the context too: so that attributes that rules ask for may be there. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems, *none;
	struct flag *flag, *again;
	struct err err = ERR_INIT;
	struct doc *doc;
	json_t *written;

	if (doc_parse_yaml(ctx, "f", (const char *)bytes, size, &doc, &err) < 0)
		return 0;
	problems = problems_new(ctx, doc);
	flag = flag_read(ctx, "key", doc, problems);
	assert_always(flag);
	for (size_t i = 0; i < problems->count; i++)
		assert_always(*problems->list[i].text);
	if (problems->count)
		return 0;
	check_evaluation(flag, NULL);
	check_evaluation(flag, doc_root(doc));
	check_evaluation(flag, json_make(ctx, "{s:s, s:s, s:s, s:i}", "targetingKey", "ana", "plan", "pro", "version", "2.1.0", "age", 7));
	written = json_keep(ctx, flag_json(flag));
	none = problems_new(ctx, NULL);
	again = flag_read(ctx, "key", doc_wrap(ctx, "again", written), none);
	assert_always(none->count == 0);
	assert_always(strcmp(json_canonical(ctx, written), json_canonical(ctx, json_keep(ctx, flag_json(again)))) == 0);
	return 0;
}
