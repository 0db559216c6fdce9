/* Compatibility rules (V3): can the code of a target deployment run on what stays as it is? Pure: facts in, findings out.
 *
 * Facts are the "details" that drivers observe, kept with each deployment. Known members:
 *   schema      {"tables": {"users": {"columns": {"name": {"type": "TEXT", "notNull": true, "default": "''"|null, "primaryKey": false, "generated": true, "identity": true, "values": ["a", "b"], "collation": "NOCASE"}},
 *                "unique": [["email"]], "checks": {"name": "expression"}, "foreignKeys": [{"columns": ["team"], "table": "teams", "references": ["id"], "onDelete": "CASCADE", "onUpdate": "CASCADE"}],
 *                "indexes": {"users_name": {"columns": ["name"], "unique": false, "where": "condition", "nullsNotDistinct": true}}, "view": true, "strict": true}}}
 *               Only columns must be there; false and empty members may be left out. "default" is the expression's text. "values" are those of an enumeration. "identity" is "always" where no other value
 *               may be written. What an index has beside columns (expressions, prefixes) is any text that is no name of a column.
 *   engine      "postgres", "mysql", "sqlite"; engineVersion "15.18"
 *   migration   "20260102_add_email"  version of the last migration; migrations [..]: all that are applied, in order
 *   irreversible [..]                 migrations that cannot go backwards
 *   downMigrations {"20260102_add_email": "9f2c.."}  the others, with the hash of the script that leads back
 *   configKeys  {"DATABASE_URL": "string"}   keys of a configuration with their types
 *   flags       {"use-new-api": true}
 *   needs       {"db": ">=3"}         versions of other components that this one needs: >=, >, =, or a bare version, which means >=
 *   version     "3.1.0"               what `needs` of others is compared with; of the observation where the whole of it is handed in
 *
 * Rules, by name of the finding:
 *   schema_compatibility   data stays: the live schema must serve the code that ran on the target's. docs/compatibility.md has all that it says, each with a witness in the evidence
 *                          {table, column, live, target, rule}. data returns too (preserve_data false): warning that newer rows are lost.
 *   migration_reversible   an irreversible migration lies between and the data is to go back: error.
 *                          The plan takes a schema back with the user's tool: one that no script takes back is an error; else a warning with their names, because what stands in the columns that they added is lost.
 *   migration_fenced       a schema goes back: whatever needs it is stopped meanwhile, else a warning.
 *   version_jump           a whole major line is skipped (3.x to 1.x; below 1.0.0 a minor one): warning. To go back by one line is what rollbacks are for.
 *   config_compatibility   configuration stays (partial rollback): keys that the target had and are gone: error (not an empty object that was filled); changed type: warning.
 * Configuration returns as well: passes.
 *   service_dependencies   a partial rollback leaves a component older than another one needs, or without a version: error, with all that need that one in turn in the evidence ("affects").
 *   flag_compatibility     flags that the target did not know: info; flags that it knew and are gone: warning. */
#ifndef CORE_COMPAT_H
#define CORE_COMPAT_H

#include "core/finding.h"

struct compat_input {
	const char *from_version, *to_version;
	json_t *live;      /* component -> details observed now, or the whole observation {"version","state","details"} */
	json_t *target;    /* component -> the same, recorded with the target */
	json_t *returning; /* component -> true for those that the plan takes back */
	json_t *migrating; /* component -> how the plan takes its schema back (plan_migrating); NULL: none */
	bool preserve_data;
};

/* Can code that ran on the target's schema run on the live one? The arguments are the details of one component. LOSSY: it runs, and something that the newer code wrote is cut or hidden. */
enum compat_verdict { COMPAT_UNKNOWN, COMPAT_FITS, COMPAT_LOSSY, COMPAT_REFUSED };
enum compat_verdict compat_schema_verdict(json_t *live, json_t *target);

/* One finding per rule and witness; a rule that has nothing to say adds one that passed when it had facts, none when it had no facts (that
 * is said by "schema_known": info). */
void compat_check(const struct compat_input *input, struct findings *findings);

#endif
