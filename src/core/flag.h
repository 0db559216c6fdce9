/* A feature flag: its definition, how it stands, and what it is for somebody. Pure.
 *
 *     type: string                  # boolean (the default), string, number, object
 *     description: the new search
 *     group: phase-4
 *     variants: {classic: v1, fast: v2}
 *     defaultVariant: fast          # when the flag is on and no rule says otherwise
 *     offVariant: classic           # when it is off
 *     rules:                        # the first that fits counts
 *       - if: [{attribute: plan, op: equals, value: pro}, {attribute: version, op: semver_at_least, value: 2.1.0}]
 *         then: fast
 *       - share: {fast: 10, classic: 90}
 *
 * A definition says what a flag can be; its state says how it stands: "true" (on: the rules count), "false" (off: the off variant for
 * everybody), or the name of a variant (that one for everybody). A flag without a definition is a boolean with the variants on and off;
 * when its state is another word, it is a string with that word as its only variant.
 *
 * A rule holds when all conditions of `if` hold (none: always). A condition on an attribute that the context lacks, or that has another
 * type than the operator works on, does not hold, whatever the operator. A share is percent by variant, 100 in all. Who gets which:
 * SHA-256 of "KEY:TARGETINGKEY", its first 13 hex digits as a number, divided by 16^13, times 100; variants take up the range 0 to 100 in
 * the order of their names' bytes. So it is the same on every server and after every start, and with two variants nobody moves to the
 * smaller one when the larger one's share grows. */
#ifndef CORE_FLAG_H
#define CORE_FLAG_H

#include "core/version.h"
#include "data/problems.h"

#define FLAG_VARIANTS_MAX   64
#define FLAG_RULES_MAX      64
#define FLAG_CONDITIONS_MAX 16
#define FLAG_LIST_MAX       1000
#define FLAG_SIZE_MAX       (64u << 10) /* of a definition as canonical text */

enum flag_type { FLAG_BOOLEAN, FLAG_STRING, FLAG_NUMBER, FLAG_OBJECT };
extern const char *const flag_type_names[]; /* by enum; ends with NULL */

struct flag_variant {
	const char *name;
	json_t *value;
};

struct flag_condition {
	const char *attribute;
	const struct flag_op *op;
	json_t *value;
	struct version version; /* of the operators on versions */
};

struct flag_rule {
	struct flag_condition *conditions;
	size_t condition_count;
	size_t variant; /* index, when there are no shares */
	double *up_to;  /* shares: per variant in the order of their names, the percent at which its part ends; NULL: none */
};

struct flag {
	const char *key, *description, *group; /* the last two may be NULL */
	enum flag_type type;
	struct flag_variant *variants; /* in the order of their names */
	size_t variant_count;
	size_t on, off; /* default variant, off variant */
	struct flag_rule *rules;
	size_t rule_count;
};

/* Reads and checks everything; each problem has its place. Never NULL; to be used only when there was no problem. `key` is copied; the
 * document may go. */
struct flag *flag_read(const void *ctx, const char *key, const struct doc *doc, struct problems *problems);
/* The definition as it is stored and shown, without the key: reading it again gives the same flag. New reference. */
json_t *flag_json(const struct flag *flag);
/* A flag that was set and never defined. */
struct flag *flag_plain(const void *ctx, const char *key, const char *group, const char *state);

enum flag_standing { FLAG_OFF, FLAG_ON, FLAG_PINNED };
struct flag_state {
	enum flag_standing standing;
	size_t variant; /* PINNED: which */
};
/* "true", "false", or a variant's name. ERR_INVALID lists what there is. */
must_check int flag_state_parse(const struct flag *flag, const char *text, struct flag_state *ret, struct err *err);

enum flag_reason {
	FLAG_STATIC,          /* on, and the same for everybody */
	FLAG_TARGETING_MATCH, /* a rule named the variant */
	FLAG_SPLIT,           /* a rule's shares did */
	FLAG_DEFAULT,         /* there are rules, and none held */
	FLAG_DISABLED,        /* off */
	FLAG_ERROR            /* shares, and nobody to share by: the context has no targetingKey */
};
const char *flag_reason_name(enum flag_reason reason); /* "STATIC", ... as OpenFeature writes them */

struct flag_result {
	enum flag_reason reason;
	const struct flag_variant *variant; /* with FLAG_ERROR: the off variant, for those who need some value */
};
/* `context`: object or NULL; {"targetingKey": text, ATTRIBUTE: value}. Reads only, changes no reference count: any number of threads may
 * evaluate one flag. */
struct flag_result flag_evaluate(const struct flag *flag, struct flag_state state, const json_t *context);
/* The same for every context. */
bool flag_is_static(const struct flag *flag, struct flag_state state);

#endif
