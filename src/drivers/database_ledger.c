/* The loss ledger (database.h). It is gathered in DIR/new and takes its place when it is whole and flushed: ledger.json last, so a folder with it holds a whole ledger. One thread. */
#include "drivers/database.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"

#define LEDGER_FILE "ledger.json"
#define NEW_FOLDER  "new"
#define SCRATCH     "scratch"

static const char *const change_names[] = { [ROW_ADDED] = "added", [ROW_CHANGED] = "changed", [ROW_REMOVED] = "removed" };

struct ledger {
	struct driver_call *call;
	char *since, *dir, *fresh; /* fresh: DIR/new; NULL: nothing is written */
	char *scratch;             /* for the caller: DIR/scratch, or a folder in TMPDIR */
	json_t *tables;
	char *table; /* whose file is open */
	FILE *file;
};

static int end_ledger(struct ledger *ledger)
{
	struct err why = ERR_INIT;

	if (ledger->file)
		(void)fclose(ledger->file);
	if (ledger->scratch && fs_remove_tree(ledger->scratch, &why) < 0)
		call_log(ledger->call, LOG_WARN, "ledger: %s", why.text);
	return 0;
}

void ledger_abort(struct ledger **ledger)
{
	(void)talloc_free(*ledger);
	*ledger = NULL;
}

const char *ledger_scratch(const struct ledger *ledger)
{
	return ledger->scratch;
}

static int make_scratch(struct ledger *ledger, struct err *err)
{
	char *path;
	int r;

	if (ledger->dir) {
		path = fs_join(ledger, ledger->dir, SCRATCH);
		r = fs_remove_tree(path, err); /* of an attempt that was killed */
		if (r == 0)
			r = fs_mkdirs(path, 0700, err);
	} else {
		path = mem_printf(ledger, "%s/unship-ledger-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
		r = mkdtemp(path) ? 0 : err_errno(err, errno, "%s", path);
	}
	if (r == 0)
		ledger->scratch = path;
	return r;
}

int ledger_open(struct driver_call *call, const char *since, struct ledger **ret, struct err *err)
{
	struct ledger *ledger = mem_zero(call->ctx, struct ledger);
	int r = 0;

	talloc_set_destructor(ledger, end_ledger);
	ledger->call = call;
	ledger->since = mem_strdup(ledger, since);
	ledger->tables = json_make(ledger, "{}");
	if (call->ledger_dir) {
		ledger->dir = mem_strdup(ledger, call->ledger_dir);
		ledger->fresh = fs_join(ledger, call->ledger_dir, NEW_FOLDER);
		r = fs_remove_tree(ledger->fresh, err); /* of an attempt that was killed */
		if (r == 0)
			r = fs_mkdirs_durable(ledger->fresh, 0700, err);
	} else
		call_log(call, LOG_INFO, "what the restore takes away is counted, and not kept: this run has no ledger");
	if (r == 0)
		r = make_scratch(ledger, err);
	if (r < 0) {
		(void)talloc_free(ledger);
		return err_in(err, "ledger");
	}
	*ret = ledger;
	return 0;
}

/* Flushed to the disk, so that the ledger stands before the rows go. */
static int finish_file(struct ledger *ledger, struct err *err)
{
	FILE *file = take_pointer(ledger->file);
	int r = 0;

	if (!file)
		return 0;
	if (fflush(file) != 0 || fsync(fileno(file)) < 0)
		r = err_errno(err, errno, "ledger of table '%s'", ledger->table);
	(void)fclose(file);
	return r;
}

static int file_of(struct ledger *ledger, const char *table, struct err *err)
{
	_cleanup_talloc_ char *path = NULL;
	int r;

	if (ledger->file && strcmp(ledger->table, table) == 0)
		return 0;
	r = finish_file(ledger, err);
	if (r < 0)
		return r;
	(void)talloc_free(ledger->table);
	ledger->table = mem_strdup(ledger, table);
	path = mem_printf(NULL, "%s/%s.jsonl", ledger->fresh, database_file_name(ledger->table, table));
	ledger->file = fopen(path, "ae");
	if (!ledger->file || fchmod(fileno(ledger->file), 0600) < 0)
		return err_errno(err, errno, "%s", path);
	return 0;
}

static json_t *counts_of(struct ledger *ledger, const char *table)
{
	json_t *counts = json_object_get(ledger->tables, table);

	if (!counts) {
		counts = json_pack("{s:i, s:i, s:i}", "added", 0, "changed", 0, "removed", 0);
		(void)json_object_set_new(ledger->tables, table, counts);
	}
	return counts;
}

static int64_t sum(const json_t *counts)
{
	return json_int(counts, "added", 0) + json_int(counts, "changed", 0) + json_int(counts, "removed", 0);
}

bool ledger_keeps(struct ledger *ledger, const char *table)
{
	return ledger->fresh && sum(counts_of(ledger, table)) < LEDGER_ROWS_MAX;
}

static int keep(struct ledger *ledger, const char *table, enum row_change change, const char *key, int64_t times, json_t *row,
	struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	json_t *line = json_make(ctx, "{s:s}", "change", change_names[change]), *parsed;
	struct err ignored = ERR_INIT;
	int r;

	if (row)
		json_put(line, "row", row);
	else if (*key == '[' && json_parse(ctx, key, strlen(key), 1u << 24, &parsed, &ignored) == 0)
		json_put(line, "key", parsed);
	else
		json_put_str(line, "key", key);
	if (times > 1)
		json_put_int(line, "times", times);
	r = file_of(ledger, table, err);
	if (r == 0 && fprintf(ledger->file, "%s\n", json_canonical(ctx, line)) < 0)
		r = err_errno(err, errno, "ledger of table '%s'", table);
	return r;
}

int ledger_add(struct ledger *ledger, const char *table, enum row_change change, const char *key, int64_t times, json_t *row,
	struct err *err)
{
	json_t *counts = counts_of(ledger, table);
	int r = 0;

	if (ledger_keeps(ledger, table))
		r = keep(ledger, table, change, key, times, row, err);
	else if (ledger->fresh)
		json_put_flag(counts, "cut", true);
	json_put_int(counts, change_names[change], json_int(counts, change_names[change], 0) + times);
	return r;
}

static json_t *total_of(const void *ctx, const json_t *tables)
{
	json_t *total = json_make(ctx, "{s:i, s:i, s:i, s:i}", "added", 0, "changed", 0, "removed", 0, "tables", 0), *counts;
	const char *table;

	json_object_foreach((json_t *)tables, table, counts) {
		for (size_t i = 0; i < ARRAY_SIZE(change_names); i++)
			json_put_int(total, change_names[i], json_int(total, change_names[i], 0) + json_int(counts, change_names[i], 0));
		json_put_int(total, "tables", json_int(total, "tables", 0) + (sum(counts) > 0));
	}
	return total;
}

/* What an earlier attempt wrote goes to the first "attempt-N" that is free; ledger.json first: without it the rest counts as unfinished. */
static int put_aside(struct ledger *ledger, struct err *err)
{
	char **names, *aside = NULL;
	int number = 0, r;

	do
		aside = mem_printf(ledger, "%s/attempt-%d", ledger->dir, ++number);
	while (fs_exists(aside));
	if (mkdir(aside, 0700) < 0)
		return err_errno(err, errno, "%s", aside);
	r = fs_list(ledger, ledger->dir, &names, err);
	for (; r == 0 && *names; names++)
		if (text_ends_with(*names, ".jsonl") || strcmp(*names, LEDGER_FILE) == 0)
			if (rename(fs_join(ledger, ledger->dir, *names), fs_join(ledger, aside, *names)) < 0)
				r = err_errno(err, errno, "%s", aside);
	return r < 0 ? r : fs_sync_dir(aside, err);
}

static int take_place(struct ledger *ledger, struct err *err)
{
	char **names, *text;
	json_t *whole = json_make(ledger, "{s:s, s:O}", "since", ledger->since, "tables", ledger->tables), *earlier = json_array();
	int r;

	r = fs_list(ledger, ledger->fresh, &names, err);
	for (; r == 0 && *names; names++)
		if (rename(fs_join(ledger, ledger->fresh, *names), fs_join(ledger, ledger->dir, *names)) < 0)
			r = err_errno(err, errno, "%s", ledger->dir);
	if (r == 0)
		r = fs_remove_tree(ledger->fresh, err);
	if (r == 0)
		r = fs_list(ledger, ledger->dir, &names, err);
	for (; r == 0 && *names; names++)
		if (text_starts_with(*names, "attempt-"))
			(void)json_array_append_new(earlier, json_string(*names));
	if (json_array_size(earlier) > 0)
		json_put(whole, "earlier", earlier);
	json_decref(earlier);
	FAILPOINT("ledger.rows_written");
	if (r < 0)
		return r;
	text = json_pretty(ledger, whole);
	return fs_write_atomic(fs_join(ledger, ledger->dir, LEDGER_FILE), text, strlen(text), 0600, err);
}

/* Counts of the ledger that stands there already. */
static int read_standing(struct ledger *ledger, json_t **ret, struct err *err)
{
	char *text;
	json_t *whole;
	size_t size;
	int r;

	r = fs_read(ledger, fs_join(ledger, ledger->dir, LEDGER_FILE), 16u << 20, &text, &size, err);
	if (r == 0)
		r = json_parse(ledger, text, size, 16u << 20, &whole, err);
	if (r == 0)
		*ret = json_object_get(whole, "tables");
	return r;
}

static void tell(struct driver_call *call, const json_t *total, const char *since)
{
	call_log(call, LOG_INFO, "since %s %lld rows were added, %lld changed and %lld removed, in %s",
		*since ? since : "the copy was made", (long long)json_int(total, "added", 0), (long long)json_int(total, "changed", 0),
		(long long)json_int(total, "removed", 0), text_count(call->ctx, (uint64_t)json_int(total, "tables", 0), "table"));
}

int ledger_close(struct ledger **closed, json_t **ret_total, struct err *err)
{
	_cleanup_(ledger_abort) struct ledger *ledger = take_pointer(*closed);
	json_t *total = total_of(ledger->call->ctx, ledger->tables), *standing = NULL;
	bool earlier = ledger->fresh && fs_exists(fs_join(ledger, ledger->dir, LEDGER_FILE));
	int r = finish_file(ledger, err);

	if (r == 0 && earlier && json_int(total, "tables", 0) == 0) {
		r = read_standing(ledger, &standing, err);
		if (r == 0)
			r = fs_remove_tree(ledger->fresh, err);
		if (r == 0)
			total = total_of(ledger->call->ctx, standing);
	} else if (r == 0 && ledger->fresh) {
		r = earlier ? put_aside(ledger, err) : 0;
		if (r == 0)
			r = take_place(ledger, err);
	}
	if (r < 0)
		return err_in(err, "ledger");
	tell(ledger->call, total, ledger->since);
	*ret_total = total;
	return 0;
}
