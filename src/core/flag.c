/* Feature flags: reading definitions, and evaluating them. The operators are a table: what they take, and when they hold. To add one: its
 * function and a row. Pure; threads may share a flag that was read. */
#include "core/flag.h"

#include <math.h>

#include "base/text.h"
#include "data/fields.h"
#include "data/hash.h"
#include "data/json.h"

#define ALL         100.0
#define ALL_MARGIN  1e-6
#define BUCKET_BITS 52
#define NO_VARIANT  SIZE_MAX
#define VARIANT_ON  "on"
#define VARIANT_OFF "off"

const char *const flag_type_names[] = { "boolean", "string", "number", "object", NULL };
static const char *const reason_names[] = { "STATIC", "TARGETING_MATCH", "SPLIT", "DEFAULT", "DISABLED", "ERROR" };

/* --- operators ---------------------------------------------------------------------------------------------------------- */

enum operand { OPERAND_SCALAR, OPERAND_LIST, OPERAND_TEXT, OPERAND_NUMBER, OPERAND_VERSION };
static const char *const operand_names[] = { "a text, a number or a boolean", "a list of texts, numbers or booleans", "a text", "a number",
	"a semantic version, such as \"2.1.0\"" };

struct flag_op {
	const char *name;
	enum operand operand;
	bool (*holds)(const struct flag_condition *condition, const json_t *given);
};

static bool is_scalar(const json_t *value)
{
	return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static bool same(const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) == json_integer_value(b);
	if (json_is_number(a) && json_is_number(b))
		return !(json_number_value(a) < json_number_value(b)) && !(json_number_value(a) > json_number_value(b));
	if (json_is_string(a) && json_is_string(b))
		return json_string_length(a) == json_string_length(b) &&
			memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
	return json_is_boolean(a) && json_typeof(a) == json_typeof(b);
}

static bool is_among(const json_t *list, const json_t *value)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (same(json_array_get(list, i), value))
			return true;
	return false;
}

static bool op_equals(const struct flag_condition *condition, const json_t *given)
{
	return same(condition->value, given);
}

static bool op_not_equals(const struct flag_condition *condition, const json_t *given)
{
	return is_scalar(given) && !same(condition->value, given);
}

static bool op_in(const struct flag_condition *condition, const json_t *given)
{
	return is_among(condition->value, given);
}

static bool op_not_in(const struct flag_condition *condition, const json_t *given)
{
	return is_scalar(given) && !is_among(condition->value, given);
}

static bool op_starts_with(const struct flag_condition *condition, const json_t *given)
{
	return json_is_string(given) && text_starts_with(json_string_value(given), json_string_value(condition->value));
}

static bool op_ends_with(const struct flag_condition *condition, const json_t *given)
{
	return json_is_string(given) && text_ends_with(json_string_value(given), json_string_value(condition->value));
}

/* A part of a text, or an item of a list. */
static bool op_contains(const struct flag_condition *condition, const json_t *given)
{
	if (json_is_array(given))
		return is_among(given, condition->value);
	return json_is_string(given) && strstr(json_string_value(given), json_string_value(condition->value));
}

static bool op_greater(const struct flag_condition *condition, const json_t *given)
{
	return json_is_number(given) && json_number_value(given) > json_number_value(condition->value);
}

static bool op_less(const struct flag_condition *condition, const json_t *given)
{
	return json_is_number(given) && json_number_value(given) < json_number_value(condition->value);
}

static bool versions_order(const struct flag_condition *condition, const json_t *given, int *ret)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err ignored = ERR_INIT;
	struct version version;

	return json_is_string(given) && version_parse(ctx, json_string_value(given), &version, &ignored) == 0 &&
		version_compare(&version, &condition->version, ret);
}

static bool op_semver_at_least(const struct flag_condition *condition, const json_t *given)
{
	int order;

	return versions_order(condition, given, &order) && order >= 0;
}

static bool op_semver_below(const struct flag_condition *condition, const json_t *given)
{
	int order;

	return versions_order(condition, given, &order) && order < 0;
}

static const struct flag_op ops[] = {
	{ "equals", OPERAND_SCALAR, op_equals },
	{ "not_equals", OPERAND_SCALAR, op_not_equals },
	{ "in", OPERAND_LIST, op_in },
	{ "not_in", OPERAND_LIST, op_not_in },
	{ "starts_with", OPERAND_TEXT, op_starts_with },
	{ "ends_with", OPERAND_TEXT, op_ends_with },
	{ "contains", OPERAND_TEXT, op_contains },
	{ "greater", OPERAND_NUMBER, op_greater },
	{ "less", OPERAND_NUMBER, op_less },
	{ "semver_at_least", OPERAND_VERSION, op_semver_at_least },
	{ "semver_below", OPERAND_VERSION, op_semver_below },
};
#define OP_CHOICES "equals|not_equals|in|not_in|starts_with|ends_with|contains|greater|less|semver_at_least|semver_below"

static const struct flag_op *op_find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(ops); i++)
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	return NULL;
}

/* --- reading ------------------------------------------------------------------------------------------------------------ */

struct flag_file {
	const char *type, *description, *group, *default_variant, *off_variant;
	json_t *variants, *rules;
};
struct rule_file {
	json_t *conditions, *share;
	const char *variant;
};
struct condition_file {
	const char *attribute, *op;
	json_t *value;
};
/* clang-format off */
static const struct field flag_fields[] = {
	FIELD_CHOICE(struct flag_file, type, DEFAULT("boolean"), "boolean|string|number|object", "type of the values"),
	FIELD_STR(struct flag_file, description, OPTIONAL, "what it is for"),
	FIELD_NAME(struct flag_file, group, OPTIONAL, "group to put the flag into"),
	FIELD_MAP(struct flag_file, variants, OPTIONAL, "values by name; a boolean flag has on and off when none are given"),
	FIELD_STR(struct flag_file, default_variant, OPTIONAL, "variant when the flag is on and no rule says otherwise; on"),
	FIELD_STR(struct flag_file, off_variant, OPTIONAL, "variant when the flag is off; off"),
	FIELD_JSON(struct flag_file, rules, OPTIONAL, "who gets which variant: the first rule that holds"),
	FIELD_END
};
/* `if` and `then` are no names for members. */
static const struct field rule_fields[] = {
	{ "if", FIELD_TYPE_ANY, offsetof(struct rule_file, conditions), OPTIONAL, NULL, 0, 0, NULL,
		"conditions that must all hold; none: always" },
	{ "then", FIELD_TYPE_STR, offsetof(struct rule_file, variant), OPTIONAL, NULL, 0, 0, NULL, "the variant" },
	FIELD_MAP(struct rule_file, share, OPTIONAL, "percent by variant, 100 in all"),
	FIELD_END
};
static const struct field condition_fields[] = {
	FIELD_STR(struct condition_file, attribute, REQUIRED, "attribute of the context; targetingKey is one too"),
	FIELD_CHOICE(struct condition_file, op, REQUIRED, OP_CHOICES, "operator"),
	FIELD_JSON(struct condition_file, value, REQUIRED, "what it is compared with"),
	FIELD_END
};
/* clang-format on */

struct reading {
	const void *ctx; /* of the flag */
	void *tmp;
	struct flag *flag;
	struct problems *problems;
};

static size_t find_variant(const struct flag *flag, const char *name)
{
	for (size_t i = 0; i < flag->variant_count; i++)
		if (strcmp(flag->variants[i].name, name) == 0)
			return i;
	return NO_VARIANT;
}

static char *variant_names(const void *ctx, const struct flag *flag)
{
	char *text = mem_strdup(ctx, "");

	for (size_t i = 0; i < flag->variant_count; i++)
		text = mem_appendf(text, "%s%s", i ? ", " : "", flag->variants[i].name);
	return text;
}

/* The variant that stands at `path`; 0 with a problem when there is none of that name. */
static size_t need_variant(struct reading *reading, const char *name, const char *path)
{
	size_t variant = name ? find_variant(reading->flag, name) : NO_VARIANT;

	if (variant != NO_VARIANT)
		return variant;
	if (reading->flag->variant_count)
		problems_add(reading->problems, ERR_INVALID, path,
			name ? "there is no variant '%s' (there are: %s)" : "missing variant%s (one of: %s)", name ? name : "",
			variant_names(reading->tmp, reading->flag));
	return 0;
}

static bool fits(enum flag_type type, const json_t *value)
{
	switch (type) {
	case FLAG_BOOLEAN:
		return json_is_boolean(value);
	case FLAG_STRING:
		return json_is_string(value);
	case FLAG_NUMBER:
		return json_is_number(value);
	case FLAG_OBJECT:
		return json_is_object(value);
	}
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct flag_variant *)a)->name, ((const struct flag_variant *)b)->name);
}

static void take_variants(struct flag *flag, const void *ctx, json_t *variants)
{
	const char *name;
	json_t *value;

	flag->variants = mem_array(ctx, struct flag_variant, json_object_size(variants));
	json_object_foreach(variants, name, value)
		flag->variants[flag->variant_count++] = (struct flag_variant){ .name = mem_strdup(ctx, name),
			.value = json_keep(ctx, json_deep_copy(value)) };
	qsort(flag->variants, flag->variant_count, sizeof(*flag->variants), by_name);
}

static json_t *boolean_variants(const void *ctx)
{
	return json_make(ctx, "{s:b, s:b}", VARIANT_ON, 1, VARIANT_OFF, 0);
}

static void read_variants(struct reading *reading, json_t *variants)
{
	struct flag *flag = reading->flag;
	const char *name;
	json_t *value;

	if (!variants && flag->type == FLAG_BOOLEAN)
		variants = boolean_variants(reading->tmp);
	if (!variants || json_object_size(variants) == 0) {
		problems_add(reading->problems, ERR_INVALID, "variants", "a %s flag needs its variants: {NAME: value}",
			flag_type_names[flag->type]);
		return;
	}
	if (json_object_size(variants) > FLAG_VARIANTS_MAX) {
		problems_add(reading->problems, ERR_TOO_LARGE, "variants", "%zu variants; a flag has at most %d",
			json_object_size(variants), FLAG_VARIANTS_MAX);
		return;
	}
	json_object_foreach(variants, name, value) {
		const char *path = doc_path(reading->tmp, "variants", name);

		if (!text_is_name(name))
			problems_add(reading->problems, ERR_INVALID, path, "'%s' is no name of a variant: letters, digits, '.', '_', '-'",
				name);
		else if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0)
			problems_add(reading->problems, ERR_INVALID, path, "a variant cannot be called %s: that is a state of the flag",
				name);
		if (!fits(flag->type, value))
			problems_add(reading->problems, ERR_INVALID, path, "the value of a %s flag must be %s %s",
				flag_type_names[flag->type], flag->type == FLAG_OBJECT ? "an" : "a", flag_type_names[flag->type]);
	}
	take_variants(flag, reading->ctx, variants);
}

static bool operand_fits(enum operand operand, const json_t *value)
{
	switch (operand) {
	case OPERAND_SCALAR:
		return is_scalar(value);
	case OPERAND_LIST:
		for (size_t i = 0; i < json_array_size(value); i++)
			if (!is_scalar(json_array_get(value, i)))
				return false;
		return json_array_size(value) > 0 && json_array_size(value) <= FLAG_LIST_MAX;
	case OPERAND_TEXT:
	case OPERAND_VERSION:
		return json_string_length(value) > 0;
	case OPERAND_NUMBER:
		return json_is_number(value);
	}
	return false;
}

static void read_condition(struct reading *reading, json_t *object, const char *path, struct flag_condition *ret)
{
	size_t problems_before = reading->problems->count;
	struct condition_file file = { 0 };
	struct err why = ERR_INIT;
	bool good;

	if (!json_is_object(object)) {
		problems_add(reading->problems, ERR_INVALID, path, "expected a condition: {attribute, op, value}");
		return;
	}
	fields_parse(reading->ctx, condition_fields, object, path, NULL, false, &file, reading->problems);
	if (reading->problems->count > problems_before)
		return;
	*ret = (struct flag_condition){ .attribute = file.attribute,
		.op = op_find(file.op),
		.value = json_keep(reading->ctx, json_deep_copy(file.value)) };
	good = operand_fits(ret->op->operand, file.value);
	if (good && ret->op->operand == OPERAND_VERSION)
		good = version_parse(reading->ctx, json_string_value(ret->value), &ret->version, &why) == 0 &&
			ret->version.kind == VERSION_SEMVER;
	if (!good)
		problems_add(reading->problems, ERR_INVALID, doc_path(reading->tmp, path, "value"), "the operator %s takes %s",
			ret->op->name, operand_names[ret->op->operand]);
}

static void read_conditions(struct reading *reading, json_t *list, const char *path, struct flag_rule *ret)
{
	if (!list || json_is_null(list))
		return;
	if (!json_is_array(list) || json_array_size(list) > FLAG_CONDITIONS_MAX) {
		problems_add(reading->problems, ERR_INVALID, path, "expected a list of at most %d conditions", FLAG_CONDITIONS_MAX);
		return;
	}
	ret->conditions = mem_array(reading->ctx, struct flag_condition, json_array_size(list));
	ret->condition_count = json_array_size(list);
	for (size_t i = 0; i < ret->condition_count; i++)
		read_condition(reading, json_array_get(list, i), doc_path_index(reading->tmp, path, i), &ret->conditions[i]);
}

static void read_share(struct reading *reading, json_t *share, const char *path, struct flag_rule *ret)
{
	const struct flag *flag = reading->flag;
	double sum = 0;
	const char *name;
	json_t *percent;

	json_object_foreach(share, name, percent) {
		const char *place = doc_path(reading->tmp, path, name);

		(void)need_variant(reading, name, place);
		if (!json_is_number(percent) || json_number_value(percent) < 0 || json_number_value(percent) > ALL)
			problems_add(reading->problems, ERR_INVALID, place, "expected percent, 0 to 100");
		sum += json_number_value(percent);
	}
	if (fabs(sum - ALL) > ALL_MARGIN)
		problems_add(reading->problems, ERR_INVALID, path, "the shares are %g percent in all; they must be 100", sum);
	ret->up_to = mem_array(reading->ctx, double, flag->variant_count);
	sum = 0;
	for (size_t i = 0; i < flag->variant_count; i++) {
		sum += json_number_value(json_object_get(share, flag->variants[i].name));
		ret->up_to[i] = sum;
	}
}

static void read_rule(struct reading *reading, json_t *object, const char *path, struct flag_rule *ret)
{
	struct rule_file file = { 0 };

	if (!json_is_object(object)) {
		problems_add(reading->problems, ERR_INVALID, path, "expected a rule: {if, then} or {if, share}");
		return;
	}
	fields_parse(reading->tmp, rule_fields, object, path, NULL, false, &file, reading->problems);
	read_conditions(reading, file.conditions, doc_path(reading->tmp, path, "if"), ret);
	if (!file.variant == !file.share)
		problems_add(reading->problems, ERR_INVALID, path, "a rule has either then (a variant) or share (percent by variant)");
	else if (file.share)
		read_share(reading, file.share, doc_path(reading->tmp, path, "share"), ret);
	else
		ret->variant = need_variant(reading, file.variant, doc_path(reading->tmp, path, "then"));
}

static void read_rules(struct reading *reading, json_t *list)
{
	struct flag *flag = reading->flag;

	if (!list || json_is_null(list))
		return;
	if (!json_is_array(list) || json_array_size(list) > FLAG_RULES_MAX) {
		problems_add(reading->problems, ERR_INVALID, "rules", "expected a list of at most %d rules", FLAG_RULES_MAX);
		return;
	}
	flag->rules = mem_array(reading->ctx, struct flag_rule, json_array_size(list));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *path = doc_path_index(reading->tmp, "rules", i);
		struct flag_rule *rule = &flag->rules[flag->rule_count++];

		read_rule(reading, json_array_get(list, i), path, rule);
		if (rule->condition_count == 0 && i + 1 < json_array_size(list))
			problems_add(reading->problems, ERR_INVALID, path,
				"a rule without conditions always holds: those after it are never reached");
	}
}

static enum flag_type type_named(const char *name)
{
	for (int i = 0; name && flag_type_names[i]; i++)
		if (strcmp(flag_type_names[i], name) == 0)
			return (enum flag_type)i;
	return FLAG_BOOLEAN;
}

static void check_size(struct reading *reading)
{
	json_t *whole;
	size_t size;

	if (reading->problems->count)
		return;
	whole = json_keep(reading->tmp, flag_json(reading->flag));
	size = strlen(json_canonical(reading->tmp, whole));
	if (size > FLAG_SIZE_MAX)
		problems_add(reading->problems, ERR_TOO_LARGE, "", "the definition has %zu bytes; at most %u", size, FLAG_SIZE_MAX);
}

struct flag *flag_read(const void *ctx, const char *key, const struct doc *doc, struct problems *problems)
{
	struct flag *flag = mem_zero(ctx, struct flag);
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct reading reading = { .ctx = flag, .tmp = tmp, .flag = flag, .problems = problems };
	json_t *root = doc_root(doc);
	struct flag_file file = { 0 };

	flag->key = mem_strdup(flag, key);
	if (!json_is_object(root)) {
		problems_add(problems, ERR_INVALID, "", "expected the definition of a flag: {type, variants, ...}");
		return flag;
	}
	fields_parse(flag, flag_fields, root, "", NULL, false, &file, problems);
	flag->type = type_named(file.type);
	flag->description = file.description;
	flag->group = file.group;
	read_variants(&reading, file.variants);
	/* A boolean flag that has the usual names need not say which is which. */
	if (flag->type == FLAG_BOOLEAN && !file.default_variant && find_variant(flag, VARIANT_ON) != NO_VARIANT)
		file.default_variant = VARIANT_ON;
	if (flag->type == FLAG_BOOLEAN && !file.off_variant && find_variant(flag, VARIANT_OFF) != NO_VARIANT)
		file.off_variant = VARIANT_OFF;
	flag->on = need_variant(&reading, file.default_variant, "defaultVariant");
	flag->off = need_variant(&reading, file.off_variant, "offVariant");
	read_rules(&reading, file.rules);
	check_size(&reading);
	return flag;
}

struct flag *flag_plain(const void *ctx, const char *key, const char *group, const char *state)
{
	static const char *const usual[] = { "true", "false", VARIANT_ON, VARIANT_OFF };
	struct flag *flag = mem_zero(ctx, struct flag);
	bool boolean = false;

	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		boolean |= strcmp(usual[i], state) == 0;
	flag->key = mem_strdup(flag, key);
	flag->group = mem_strdup(flag, group);
	flag->type = boolean ? FLAG_BOOLEAN : FLAG_STRING;
	take_variants(flag, flag, boolean ? boolean_variants(flag) : json_make(flag, "{s:s}", state, state));
	flag->on = boolean ? find_variant(flag, VARIANT_ON) : 0;
	flag->off = boolean ? find_variant(flag, VARIANT_OFF) : 0;
	return flag;
}

/* --- showing ------------------------------------------------------------------------------------------------------------ */

static json_t *rule_json(const struct flag *flag, const struct flag_rule *rule)
{
	json_t *object = json_object(), *list = json_array(), *share = json_object();

	for (size_t i = 0; i < rule->condition_count; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:O}", "attribute", rule->conditions[i].attribute, "op", rule->conditions[i].op->name,
				"value", rule->conditions[i].value));
	for (size_t i = 0; rule->up_to && i < flag->variant_count; i++) {
		double percent = rule->up_to[i] - (i ? rule->up_to[i - 1] : 0);

		if (percent > 0) /* sums of decimal fractions have noise in their last digits */
			(void)json_object_set_new(share, flag->variants[i].name, json_real(round(percent * 1e9) / 1e9));
	}
	if (rule->condition_count)
		json_put(object, "if", list);
	if (rule->up_to)
		json_put(object, "share", share);
	else
		json_put_str(object, "then", flag->variants[rule->variant].name);
	json_decref(list);
	json_decref(share);
	return object;
}

json_t *flag_json(const struct flag *flag)
{
	json_t *object = json_pack("{s:s}", "type", flag_type_names[flag->type]), *variants = json_object(), *rules = json_array();

	json_put_str(object, "description", flag->description);
	json_put_str(object, "group", flag->group);
	for (size_t i = 0; i < flag->variant_count; i++)
		json_put(variants, flag->variants[i].name, flag->variants[i].value);
	(void)json_object_set_new(object, "variants", variants);
	json_put_str(object, "defaultVariant", flag->variants[flag->on].name);
	json_put_str(object, "offVariant", flag->variants[flag->off].name);
	for (size_t i = 0; i < flag->rule_count; i++)
		json_array_append_new(rules, rule_json(flag, &flag->rules[i]));
	if (flag->rule_count)
		json_put(object, "rules", rules);
	json_decref(rules);
	return object;
}

/* --- evaluating --------------------------------------------------------------------------------------------------------- */

int flag_state_parse(const struct flag *flag, const char *text, struct flag_state *ret, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	size_t variant;

	if (strcmp(text, "true") == 0)
		*ret = (struct flag_state){ .standing = FLAG_ON };
	else if (strcmp(text, "false") == 0)
		*ret = (struct flag_state){ .standing = FLAG_OFF };
	else if ((variant = find_variant(flag, text)) != NO_VARIANT)
		*ret = (struct flag_state){ .standing = FLAG_PINNED, .variant = variant };
	else
		return err_set(err, ERR_INVALID, "flag '%s' has no variant '%s'; its states are: true, false, %s", flag->key, text,
			variant_names(tmp, flag));
	return 0;
}

const char *flag_reason_name(enum flag_reason reason)
{
	return reason_names[reason];
}

static bool rule_holds(const struct flag_rule *rule, const json_t *context)
{
	for (size_t i = 0; i < rule->condition_count; i++) {
		const struct flag_condition *condition = &rule->conditions[i];
		const json_t *given = json_object_get(context, condition->attribute);

		if (!given || !condition->op->holds(condition, given))
			return false;
	}
	return true;
}

/* Where somebody stands for this flag: 0 to less than 100. The first 52 bits of the hash: what a double holds exactly. */
static double bucket(const char *key, const char *who)
{
	size_t key_size = strlen(key), who_size = strlen(who), size = key_size + 1 + who_size;
	unsigned char hash[HASH_SIZE];
	char short_text[256], *text = short_text;
	uint64_t bits = 0;

	if (size > sizeof(short_text))
		text = mem_array(NULL, char, size);
	memcpy(text, key, key_size);
	text[key_size] = ':';
	memcpy(text + key_size + 1, who, who_size);
	hash_sha256(text, size, hash);
	if (text != short_text)
		talloc_free(text);
	for (size_t i = 0; i < sizeof(bits); i++)
		bits = bits << 8 | hash[i];
	return (double)(bits >> (64 - BUCKET_BITS)) / (double)(UINT64_C(1) << BUCKET_BITS) * ALL;
}

static struct flag_result shared(const struct flag *flag, const struct flag_rule *rule, const json_t *context)
{
	const char *who = json_str(context, "targetingKey", "");
	size_t last = 0;
	double place;

	if (!who[0])
		return (struct flag_result){ FLAG_ERROR, &flag->variants[flag->off] };
	place = bucket(flag->key, who);
	for (size_t i = 0; i < flag->variant_count; i++) {
		if (place < rule->up_to[i])
			return (struct flag_result){ FLAG_SPLIT, &flag->variants[i] };
		if (rule->up_to[i] > (i ? rule->up_to[i - 1] : 0))
			last = i;
	}
	return (struct flag_result){ FLAG_SPLIT, &flag->variants[last] }; /* the sum was a hair under 100 */
}

struct flag_result flag_evaluate(const struct flag *flag, struct flag_state state, const json_t *context)
{
	if (state.standing == FLAG_OFF)
		return (struct flag_result){ FLAG_DISABLED, &flag->variants[flag->off] };
	if (state.standing == FLAG_PINNED)
		return (struct flag_result){ FLAG_STATIC, &flag->variants[state.variant] };
	for (size_t i = 0; i < flag->rule_count; i++) {
		const struct flag_rule *rule = &flag->rules[i];

		if (!rule_holds(rule, context))
			continue;
		return rule->up_to ? shared(flag, rule, context)
				   : (struct flag_result){ FLAG_TARGETING_MATCH, &flag->variants[rule->variant] };
	}
	return (struct flag_result){ flag->rule_count ? FLAG_DEFAULT : FLAG_STATIC, &flag->variants[flag->on] };
}

bool flag_is_static(const struct flag *flag, struct flag_state state)
{
	return state.standing != FLAG_ON || flag->rule_count == 0;
}
