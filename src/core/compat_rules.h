/* What the files of the compatibility rules share; others use compat.h. */
#ifndef CORE_COMPAT_RULES_H
#define CORE_COMPAT_RULES_H

#include "core/compat.h"

/* The details of a component among `facts` (live or target); NULL: none. Borrowed. */
json_t *compat_details(json_t *facts, const char *component);
bool compat_returns(const struct compat_input *input, const char *component);
/* {name: true} of all components that there are facts about. Kept in ctx. */
json_t *compat_components(const void *ctx, const struct compat_input *input);

/* schema_compatibility and schema_known */
void compat_check_schemas(const struct compat_input *input, json_t *components, struct findings *findings);

/* ANY: an engine without rules of its own here; of two readings the stricter one counts. */
enum compat_engine { ENGINE_ANY, ENGINE_POSTGRES, ENGINE_MYSQL, ENGINE_SQLITE };

/* compat_types.c: how the live type of a column serves code that knew the target's. WIDER: it takes all that the older code writes and may
 * give more than that code can hold. CONVERTS: it takes all, and what is read may look otherwise. NARROWER: something that the older code
 * writes, or the way it compares, is refused. */
enum compat_fit { FIT_SAME, FIT_WIDER, FIT_CONVERTS, FIT_NARROWER };
/* Of columns as in compat.h. `strict`: the live table is a STRICT one of SQLite. */
enum compat_fit compat_type_fit(enum compat_engine engine, json_t *live, json_t *target, bool strict);
/* The greatest number of characters that a column of this type holds; 0: no limit, or not a text. */
long compat_type_characters(enum compat_engine engine, json_t *column);

/* What can be said of a schema; one row each in compat_schema.c. */
enum schema_rule {
	RULE_TABLE_MISSING,
	RULE_TABLE_NEW,
	RULE_BECAME_VIEW,
	RULE_BECAME_TABLE,
	RULE_STRICT,
	RULE_COLUMN_MISSING,
	RULE_COLUMN_NEW,
	RULE_COLUMN_REQUIRED,
	RULE_NOT_NULL,
	RULE_NULLABLE,
	RULE_TYPE_NARROWER,
	RULE_TYPE_WIDER,
	RULE_TYPE_CHANGED,
	RULE_VALUES_REMOVED,
	RULE_VALUES_ADDED,
	RULE_COMPUTED,
	RULE_COMPUTED_NO_LONGER,
	RULE_DEFAULT_DROPPED,
	RULE_DEFAULT_CHANGED,
	RULE_DEFAULT_REFUSED,
	RULE_COLLATION_CHANGED,
	RULE_PRIMARY_KEY,
	RULE_UNIQUE_NEW,
	RULE_UNIQUE_DROPPED,
	RULE_UNIQUE_DROPPED_UNNAMED,
	RULE_CHECK_NEW,
	RULE_CHECK_DROPPED,
	RULE_FOREIGN_KEY_NEW,
	RULE_FOREIGN_KEY_DROPPED,
	RULE_DELETE_REFUSED,
	RULE_DELETE_CHANGED,
	RULE_REFERENCED,
	RULE_INDEX_DROPPED,
	RULE_COUNT,
};

/* Two schemas being compared, and where in them. */
struct schema_pair {
	const void *ctx;
	enum compat_engine engine;
	json_t *live_tables, *target_tables;
	const char *component, *table, *column;
	json_t *live, *target;     /* the table that `table` names, on both sides */
	struct findings *findings; /* NULL: only the verdict is wanted */
	size_t said;
	bool refused, lossy;
};

/* Notes that a rule has something to say of pair->table and pair->column. `live` and `target` are what stands there (NULL: nothing), `more` what is added to the rule's sentence, NULL: nothing. */
void schema_say(struct schema_pair *pair, enum schema_rule rule, json_t *live, json_t *target, const char *more);
/* The member of that name; where the engine does not tell cases apart also one that is written otherwise. *ret_name: as it is written there; may be NULL. */
json_t *schema_column(const struct schema_pair *pair, json_t *table, const char *name, const char **ret_name);
/* Does a row get a value, or none, without that one is written? */
bool schema_may_be_left_out(enum compat_engine engine, json_t *column);
/* A column that only the live table has and that stays NULL in the older code's rows. */
bool schema_stays_null(const struct schema_pair *pair, const char *column);

/* compat_keys.c: primary keys, unique constraints, indexes, foreign keys of the pair's table. */
void schema_check_keys(struct schema_pair *pair);
/* Is the column part of what must be unique in the live table? */
bool schema_in_unique(const struct schema_pair *pair, const char *column);
/* Does it refer to rows of another table? */
bool schema_in_foreign_key(const struct schema_pair *pair, const char *column);
/* Foreign keys of tables that only the live schema has. */
void schema_check_new_table(struct schema_pair *pair);

/* compat_checks.c: CHECK constraints of the pair's table. */
void schema_check_checks(struct schema_pair *pair);
bool schema_in_check(const struct schema_pair *pair, const char *column);
/* Does a live check refuse, or may it refuse, the column's default? */
bool schema_default_fails(const struct schema_pair *pair, const char *column);

#endif
