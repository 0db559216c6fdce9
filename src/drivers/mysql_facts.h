/* What stands in a MariaDB or MySQL database: its catalogue, as a copy needs it and as the compatibility rules read it (core/compat.h). Read only.
 *
 * A catalogue is
 *     {"charset", "collation",
 *      "tables": {NAME: {"create", "columns": [...], "key": [...], "float": [...], "sequence": true, "transactional": true}},
 *      "programs": [{"kind", "name", "create", "table", "sqlMode", "collation", "timeZone"}]}
 * "columns" are those that hold something of their own (not the generated ones), "key" is the primary key, "float" the columns whose text would lose digits. Programs are views, routines, triggers and events, in an order in
 * which they can be made. It has the same form whether it was read from the server or from a copy. */
#ifndef DRIVERS_MYSQL_FACTS_H
#define DRIVERS_MYSQL_FACTS_H

#include "data/json.h"
#include "drivers/mysql_client.h"

/* *ret: is there a database of that name? */
must_check int mysql_facts_exists(struct mysqldb *db, const char *schema, bool *ret, struct err *err);
/* Charset, collation and tables of a database that exists; no "programs". Selects it (USE). */
must_check int mysql_facts_catalogue(struct mysqldb *db, const void *ctx, const char *schema, json_t **ret, struct err *err);
must_check int mysql_facts_programs(struct mysqldb *db, const void *ctx, const char *schema, json_t **ret, struct err *err);
bool mysql_programs_have(json_t *programs, json_t *program); /* the very same */
/* The text of SHOW CREATE TABLE without what changes with every row. */
char *mysql_facts_shape(const void *ctx, const char *create);

/* {"tables": {...}} as core/compat.h describes it. */
must_check int mysql_facts_schema(struct mysqldb *db, const void *ctx, const char *schema, json_t **ret, struct err *err);
/* The newest row of a table in which a known tool notes its migrations; "0" without one. */
must_check int mysql_facts_migration(struct mysqldb *db, const void *ctx, json_t *schema_facts, char **ret, struct err *err);
/* {NAME: rows}, of the tables that can be counted until then. */
must_check int mysql_facts_row_counts(struct mysqldb *db, const void *ctx, json_t *schema_facts, int64_t until_ms, json_t **ret,
	struct err *err);

/* Foreign keys: [{"schema", "table", "name", "columns", "toSchema", "toTable", "toColumns"}] whose child or parent stands in one of the two databases (`other` may be NULL). */
must_check int mysql_facts_foreign_keys(struct mysqldb *db, const void *ctx, const char *schema, const char *other, json_t **ret,
	struct err *err);

#endif
