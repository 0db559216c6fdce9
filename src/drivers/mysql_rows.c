/* Reading, summing up, saving and loading rows (mysql_rows.h). Rows stream: neither side ever holds a table. One thread. */
#include "drivers/mysql_rows.h"

#include <errno.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"

#ifdef UNSHIP_FAILPOINTS
#define INSERT_BYTES 4096 /* so that a small table takes several statements, between which a test can kill */
#else
#define INSERT_BYTES (256u << 10)
#endif
#define COMMIT_EVERY 64 /* statements */

bool mysql_columns_have(json_t *columns, const char *name)
{
	json_t *column;
	size_t i;

	json_array_foreach(columns, i, column)
		if (strcmp(json_string_value(column), name) == 0)
			return true;
	return false;
}

json_t *mysql_columns_missing(const void *ctx, json_t *columns, json_t *of)
{
	json_t *missing = json_keep(ctx, json_array()), *column;
	size_t i;

	json_array_foreach(columns, i, column)
		if (!mysql_columns_have(of, json_string_value(column)))
			(void)json_array_append(missing, column);
	return missing;
}

char *mysql_columns_text(const void *ctx, json_t *columns)
{
	char *text = mem_strdup(ctx, "");
	json_t *column;
	size_t i;

	json_array_foreach(columns, i, column) {
		_cleanup_talloc_ char *name = mysqldb_name(NULL, json_string_value(column));

		text = mem_appendf(text, "%s%s", i ? ", " : "", name);
	}
	return text;
}

/* ---- reading ---- */

/* A FLOAT is shown with six digits; as a DOUBLE it is shown with all that it has. */
static char *select_list(const void *ctx, const struct mysql_source *source)
{
	json_t *there = json_object_get(source->table, "columns"), *floats = json_object_get(source->table, "float"), *column;
	char *text = mem_strdup(ctx, "");
	size_t i;

	json_array_foreach(source->columns, i, column) {
		const char *name = json_string_value(column);
		_cleanup_talloc_ char *quoted = mysqldb_name(NULL, name);

		if (i)
			text = mem_append(text, ", ");
		if (!mysql_columns_have(there, name))
			text = mem_append(text, "NULL");
		else
			text = mem_appendf(text, mysql_columns_have(floats, name) ? "%s + 0e0" : "%s", quoted);
	}
	return text;
}

int mysql_rows_read(struct mysqldb *db, const struct mysql_source *source, mysqldb_row_handler handler, void *user, struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	json_t *key = json_object_get(source->table, "key");
	char *query;

	if (json_array_size(source->columns) == 0)
		return err_set(err, ERR_UNSUPPORTED, "table '%s' has no columns of its own", source->name);
	query = mem_printf(work, "SELECT %s FROM %s", select_list(work, source), mysqldb_table(work, source->schema, source->name));
	if (json_array_size(key) > 0)
		query = mem_appendf(query, " ORDER BY %s", mysql_columns_text(work, key));
	return mysqldb_stream(db, query, source->name, handler, user, err);
}

/* ---- reading back what was saved ---- */

/* One line "INSERT INTO `t` (...) VALUES (...),(...);" as mysql_rows_save wrote it, taken apart in place. */
struct parser {
	char *at;
	struct mysqldb_value *values;
	size_t count, room;
};

static char unescaped(char c)
{
	switch (c) {
	case '0':
		return 0;
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 'Z':
		return 26;
	default:
		return c;
	}
}

static bool parse_text(struct parser *parser, struct mysqldb_value *ret)
{
	char *from = ++parser->at, *to = from;

	for (; *parser->at && *parser->at != '\''; parser->at++) {
		if (*parser->at == '\\')
			*to++ = unescaped(*++parser->at);
		else
			*to++ = *parser->at;
	}
	if (!*parser->at)
		return false;
	parser->at++;
	*ret = (struct mysqldb_value){ .bytes = from, .size = (size_t)(to - from), .kind = MYSQLDB_TEXT };
	return true;
}

static bool parse_binary(struct parser *parser, struct mysqldb_value *ret)
{
	size_t count = strspn(parser->at + 2, "0123456789ABCDEF");
	_cleanup_talloc_ char *digits = mem_strndup(NULL, parser->at + 2, count);
	struct err ignored = ERR_INIT;

	if (count % 2 != 0 || text_unhex(digits, parser->at, count / 2, &ignored) < 0)
		return false;
	*ret = (struct mysqldb_value){ .bytes = parser->at, .size = count / 2, .kind = MYSQLDB_BINARY };
	parser->at += 2 + count;
	return true;
}

static bool parse_value(struct parser *parser)
{
	struct mysqldb_value *value;
	size_t size;

	if (parser->count == parser->room) {
		parser->room = MAX(2 * parser->room, (size_t)16);
		parser->values = mem_resize(NULL, parser->values, struct mysqldb_value, parser->room);
	}
	value = &parser->values[parser->count++];
	if (*parser->at == '\'')
		return parse_text(parser, value);
	if (parser->at[0] == '0' && parser->at[1] == 'x')
		return parse_binary(parser, value);
	size = strcspn(parser->at, ",)");
	*value = (struct mysqldb_value){ .bytes = parser->at, .size = size, .kind = MYSQLDB_NUMBER };
	if (size == 4 && strncmp(parser->at, "NULL", 4) == 0)
		*value = (struct mysqldb_value){ .kind = MYSQLDB_NUMBER };
	parser->at += size;
	return size > 0;
}

/* The list of columns holds names in backticks, in which anything may stand. */
static char *after_columns(char *line)
{
	bool quoted = false;

	for (char *at = line; *at; at++) {
		if (*at == '`')
			quoted = !quoted;
		else if (!quoted && strncmp(at, ") VALUES ", 9) == 0)
			return at + 9;
	}
	return NULL;
}

static int parse_line(char *line, mysqldb_row_handler handler, void *user, struct err *err)
{
	struct parser parser = { .at = after_columns(line) };
	bool fine = parser.at != NULL;
	int r = 0;

	while (fine && r == 0 && *parser.at == '(') {
		parser.count = 0;
		do {
			parser.at++;
			fine = parse_value(&parser);
		} while (fine && *parser.at == ',');
		fine = fine && *parser.at == ')' && (parser.at[1] == ',' || parser.at[1] == ';');
		if (fine)
			r = handler(user, parser.values, parser.count, err);
		parser.at += 2;
	}
	(void)talloc_free(parser.values);
	return fine ? r : err_set(err, ERR_CORRUPT, "a statement of the copy is not as it was written");
}

static int open_lines(const char *path, FILE **ret, struct err *err)
{
	*ret = fopen(path, "re");
	return *ret ? 0 : err_errno(err, errno, "%s", path);
}

int mysql_rows_read_file(const char *path, mysqldb_row_handler handler, void *user, struct err *err)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	int r = open_lines(path, &file, err);

	while (r == 0 && getline(&line, &room, file) >= 0)
		if (text_starts_with(line, "INSERT INTO "))
			r = parse_line(line, handler, user, err);
	if (r == 0 && ferror(file))
		r = err_errno(err, EIO, "%s", path);
	return r;
}

/* ---- key and hash ---- */

struct row_sum {
	size_t column_count, key_count;
	size_t *key;
	bool *absent;
	char *bytes; /* of one row, each value with a mark and its length in front */
	size_t size, room;
	char *key_text, hash[HASH_HEX_SIZE];
};

static int free_bytes(struct row_sum *sum)
{
	(void)talloc_free(sum->bytes);
	return 0;
}

static size_t position(json_t *columns, const char *name)
{
	json_t *column;
	size_t i;

	json_array_foreach(columns, i, column)
		if (strcmp(json_string_value(column), name) == 0)
			return i;
	return SIZE_MAX;
}

int row_sum_new(const void *ctx, json_t *columns, json_t *key, json_t *absent, struct row_sum **ret, struct err *err)
{
	struct row_sum *sum = mem_zero(ctx, struct row_sum);
	json_t *name;
	size_t i;

	if (json_array_size(columns) == 0) {
		(void)talloc_free(sum);
		return err_set(err, ERR_UNSUPPORTED, "a table without columns of its own");
	}
	talloc_set_destructor(sum, free_bytes);
	sum->column_count = json_array_size(columns);
	sum->absent = mem_array(sum, bool, sum->column_count);
	sum->key = mem_array(sum, size_t, MAX(json_array_size(key), (size_t)1));
	json_array_foreach(columns, i, name)
		sum->absent[i] = mysql_columns_have(absent, json_string_value(name));
	json_array_foreach(key, i, name) {
		size_t at = position(columns, json_string_value(name));

		if (at == SIZE_MAX || sum->absent[at]) {
			sum->key_count = 0;
			break;
		}
		sum->key[sum->key_count++] = at;
	}
	*ret = sum;
	return 0;
}

json_t *mysql_value_json(const struct mysqldb_value *value)
{
	_cleanup_talloc_ char *text = NULL;
	struct err ignored = ERR_INIT;
	int64_t number;

	if (!value->bytes)
		return json_null();
	text = mem_strndup(NULL, value->bytes, value->size);
	if (value->kind == MYSQLDB_NUMBER && text_parse_int(text, INT64_MIN, INT64_MAX, &number, &ignored) == 0)
		return json_integer(number);
	if (value->kind == MYSQLDB_BINARY || !text_is_utf8(value->bytes, value->size) || memchr(value->bytes, 0, value->size)) {
		_cleanup_talloc_ char *hex = text_hex(NULL, value->bytes, value->size);
		_cleanup_talloc_ char *marked = mem_printf(NULL, "0x%s", hex);

		return json_string(marked);
	}
	return json_string(text);
}

void row_sum_of(struct row_sum *sum, const struct mysqldb_value *values, const char **ret_key, const char **ret_hash)
{
	sum->size = 0;
	for (size_t i = 0; i < sum->column_count; i++) {
		const char mark = sum->absent[i] ? 'a' : values[i].bytes ? 'v' : 'n';
		uint64_t size = values[i].size;

		sum->bytes = mysqldb_append(sum->bytes, &sum->size, &sum->room, &mark, 1);
		sum->bytes = mysqldb_append(sum->bytes, &sum->size, &sum->room, (const char *)&size, sizeof(size));
		if (size > 0)
			sum->bytes = mysqldb_append(sum->bytes, &sum->size, &sum->room, values[i].bytes, size);
	}
	hash_blake2b_hex(sum->bytes, sum->size, sum->hash);
	if (sum->key_count == 0) {
		*ret_key = sum->hash;
		*ret_hash = NULL;
		return;
	}
	(void)talloc_free(sum->key_text);
	sum->key_text = NULL;
	{
		_cleanup_talloc_ void *work = mem_context(NULL);
		json_t *key = json_keep(work, json_array());

		for (size_t i = 0; i < sum->key_count; i++)
			(void)json_array_append_new(key, mysql_value_json(&values[sum->key[i]]));
		sum->key_text = json_canonical(sum, key);
	}
	*ret_key = sum->key_text;
	*ret_hash = sum->hash;
}

struct lister {
	struct row_sum *sum;
	struct row_list *list;
};

static int add_to_list(void *user, const struct mysqldb_value *values, size_t count, struct err *err)
{
	struct lister *lister = user;
	const char *key, *hash;

	if (count != lister->sum->column_count)
		return err_set(err, ERR_CORRUPT, "a row has %zu values where %zu were expected", count, lister->sum->column_count);
	row_sum_of(lister->sum, values, &key, &hash);
	return row_list_add(lister->list, key, hash, err);
}

int mysql_rows_list(struct mysqldb *db, const struct mysql_source *source, json_t *key, const char *dir, int64_t *ret_rows,
	char ret_checksum[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	_cleanup_(row_list_abort) struct row_list *list = NULL;
	struct lister lister;
	int r;

	r = row_sum_new(work, source->columns, key, mysql_columns_missing(work, source->columns, json_object_get(source->table, "columns")),
		&lister.sum, err);
	if (r == 0)
		r = row_list_open(work, dir, source->name, &list, err);
	lister.list = list;
	if (r == 0)
		r = mysql_rows_read(db, source, add_to_list, &lister, err);
	return r < 0 ? r : row_list_close(take_pointer(list), ret_rows, ret_checksum, err);
}

/* ---- saving ---- */

struct saver {
	struct lister lister;
	FILE *file;
	char *statement;
	size_t size, room;
	const char *begin; /* "INSERT INTO `t` (...) VALUES " */
	bool sequence;
};

static int flush_statement(struct saver *saver, struct err *err)
{
	if (saver->size == 0)
		return 0;
	saver->statement = mysqldb_append(saver->statement, &saver->size, &saver->room, ";\n", 2);
	if (fwrite(saver->statement, 1, saver->size, saver->file) != saver->size)
		return err_errno(err, errno, "the copy");
	saver->size = 0;
	FAILPOINT("mysql.saved_some");
	return 0;
}

static int save_row(void *user, const struct mysqldb_value *values, size_t count, struct err *err)
{
	struct saver *saver = user;
	int r = add_to_list(&saver->lister, values, count, err);

	if (r < 0)
		return r;
	if (saver->size == 0)
		saver->statement = mysqldb_append(saver->statement, &saver->size, &saver->room, saver->begin, strlen(saver->begin));
	else
		saver->statement = mysqldb_append(saver->statement, &saver->size, &saver->room, ",", 1);
	for (size_t i = 0; i < count; i++) {
		if (!saver->sequence)
			saver->statement = mysqldb_append(saver->statement, &saver->size, &saver->room, i ? "," : "(", 1);
		saver->statement = mysqldb_append_value(saver->statement, &saver->size, &saver->room, &values[i]);
	}
	if (!saver->sequence)
		saver->statement = mysqldb_append(saver->statement, &saver->size, &saver->room, ")", 1);
	return saver->size >= INSERT_BYTES || saver->sequence ? flush_statement(saver, err) : 0;
}

static int save_all(struct mysqldb *db, const struct mysql_source *source, struct saver *saver, const char *path, struct err *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "we");
	_cleanup_talloc_ void *work = mem_context(NULL);
	int r = 0;

	if (!file)
		return err_errno(err, errno, "%s", path);
	saver->file = file;
	saver->sequence = json_flag(source->table, "sequence", false);
	saver->begin = saver->sequence ? mem_printf(work, "ALTER SEQUENCE %s RESTART ", mysqldb_name(work, source->name))
				       : mem_printf(work, "INSERT INTO %s (%s) VALUES ", mysqldb_name(work, source->name),
						 mysql_columns_text(work, source->columns));
	if (fprintf(file,
		    "SET NAMES utf8mb4, SESSION time_zone = '+00:00', SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', SESSION foreign_key_checks = 0;\n%s;\n",
		    json_str(source->table, "create", "")) < 0)
		r = err_errno(err, errno, "%s", path);
	if (r == 0)
		r = mysql_rows_read(db, source, save_row, saver, err);
	if (r == 0)
		r = flush_statement(saver, err);
	if (r == 0 && (fflush(file) != 0 || fchmod(fileno(file), 0600) < 0 || fsync(fileno(file)) < 0))
		r = err_errno(err, errno, "%s", path);
	return r;
}

int mysql_rows_save(struct mysqldb *db, const struct mysql_source *source, const char *path, const char *dir, int64_t *ret_rows,
	char ret_checksum[HASH_HEX_SIZE], struct err *err)
{
	_cleanup_talloc_ void *work = mem_context(NULL);
	_cleanup_(row_list_abort) struct row_list *list = NULL;
	struct saver saver = { 0 };
	int r;

	r = row_sum_new(work, source->columns, json_object_get(source->table, "key"), NULL, &saver.lister.sum, err);
	if (r == 0)
		r = row_list_open(work, dir, source->name, &list, err);
	saver.lister.list = list;
	if (r == 0)
		r = save_all(db, source, &saver, path, err);
	(void)talloc_free(saver.statement);
	return r < 0 ? r : row_list_close(take_pointer(list), ret_rows, ret_checksum, err);
}

/* ---- loading ---- */

int mysql_rows_load(struct mysqldb *db, const char *path, struct err *err)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0, played = 0;
	ssize_t size;
	int r = open_lines(path, &file, err);

	if (r == 0)
		r = mysqldb_run(db, "START TRANSACTION", "loading", err);
	while (r == 0 && (size = getline(&line, &room, file)) >= 0) {
		if (!text_starts_with(line, "INSERT INTO ") && !text_starts_with(line, "ALTER SEQUENCE "))
			continue;
		while (size > 0 && strchr(";\n", line[size - 1]))
			line[--size] = 0;
		r = mysqldb_run_bytes(db, line, (size_t)size, "loading", err);
		FAILPOINT("mysql.loaded_some");
		if (r == 0 && ++played % COMMIT_EVERY == 0)
			r = mysqldb_run(db, "COMMIT", "loading", err);
		if (r == 0 && played % COMMIT_EVERY == 0)
			r = mysqldb_run(db, "START TRANSACTION", "loading", err);
	}
	if (r == 0 && ferror(file))
		r = err_errno(err, EIO, "%s", path);
	return r < 0 ? r : mysqldb_run(db, "COMMIT", "loading", err);
}
