/* How fast the store is, each measure beside a bare SQLite commit on the same disk with the same settings, in the same run.
 *
 *   bench_store [--entries N] [--deployments N] [--dir DIR]
 *
 * The bare peer inserts the text of the same entry into a table with a key, one durable commit each: what nobody can do without. Both
 * sides take turns in short
 * rounds, and the median of the rounds is printed, so that another process on the disk disturbs both alike.
 *
 * A commit costs about twice as much while the write-ahead log grows as when it is written over from its start, and a store, which
 * writes more pages per
 * commit, reaches that state sooner than its peer. So both are first driven past the first turn of the log ("steady": a daemon), and
 * the growing log is measured
 * by itself, on new files ("new log": a command that has just opened its store). Mixing the two flatters one side. */
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/hash.h"
#include "data/json.h"
#include "store/store.h"

#define ROUNDS          15
#define LOG_PAGES       4000 /* as in sqlite.c: wal_autocheckpoint */
#define LOG_SLACK       (64 * 1024)
#define NEW_LOG_COMMITS 100
#define BATCH           10000

struct settings {
	int64_t entries, deployments;
	const char *dir;
};

struct bench {
	void *ctx;
	const struct settings *settings;
	sqlite3 *bare;
	sqlite3_stmt *begin, *insert, *commit;
	struct store *store;
};

static void die_on(int r, const struct err *err)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "bench_store: %s\n", err->text);
	exit(1);
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	(void)fprintf(stderr, "bench_store: %s\n", what);
	exit(1);
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_size);
	return values[count / 2];
}

/* The same settings as sqlite.c. */
static void open_bare(struct bench *bench, const char *path)
{
	must(sqlite3_open_v2(path, &bench->bare, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK,
		"open");
	must(sqlite3_exec(bench->bare,
		     "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
		     "PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 16777216; PRAGMA cell_size_check = ON;"
		     "CREATE TABLE lines (seq INTEGER PRIMARY KEY, text TEXT NOT NULL)",
		     NULL, NULL, NULL) == SQLITE_OK,
		"create");
	must(sqlite3_prepare_v3(bench->bare, "BEGIN IMMEDIATE", -1, SQLITE_PREPARE_PERSISTENT, &bench->begin, NULL) == SQLITE_OK,
		"prepare");
	must(sqlite3_prepare_v3(bench->bare, "INSERT INTO lines (text) VALUES (?)", -1, SQLITE_PREPARE_PERSISTENT, &bench->insert, NULL) ==
			SQLITE_OK,
		"prepare");
	must(sqlite3_prepare_v3(bench->bare, "COMMIT", -1, SQLITE_PREPARE_PERSISTENT, &bench->commit, NULL) == SQLITE_OK, "prepare");
}

static void step(sqlite3_stmt *statement)
{
	must(sqlite3_step(statement) == SQLITE_DONE, "step");
	(void)sqlite3_reset(statement);
}

static json_t *entry_data(const void *ctx)
{
	return json_make(ctx, "{s:s, s:s, s:i, s:s, s:i}", "step", "switch-api", "verb", "apply", "attempt", 1, "outcome", "done",
		"durationMs", 812);
}

static double bare_round(struct bench *bench, int64_t count)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry entry = { .id = "ent-01jd7v1yq3k8e5w2c9h4m6n0ab",
		.wall_ms = 1,
		.kind = ENTRY_STEP_ENDED,
		.environment = "production",
		.run = "run-01jd7v1yq3k8e5w2c9h4m6n0ab",
		.actor = "unship",
		.data = entry_data(ctx),
		.previous = ENTRY_FIRST_PREVIOUS };
	char *text = entry_canonical(ctx, &entry);
	int64_t begun = clock_mono_us();

	for (int64_t i = 0; i < count; i++) {
		step(bench->begin);
		(void)sqlite3_bind_text(bench->insert, 1, text, -1, SQLITE_STATIC);
		step(bench->insert);
		step(bench->commit);
	}
	return (double)(clock_mono_us() - begun) / (double)count;
}

static double store_round(struct bench *bench, const char *kind, bool with_run, int64_t count)
{
	struct err err = ERR_INIT;
	int64_t begun = clock_mono_us();

	for (int64_t i = 0; i < count; i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct entry entry = { .kind = kind,
			.environment = with_run ? "production" : NULL,
			.run = with_run ? "run-01jd7v1yq3k8e5w2c9h4m6n0ab" : NULL,
			.actor = "unship",
			.data = entry_data(ctx) };

		die_on(store_append(bench->store, ctx, &entry, &err), &err);
	}
	return (double)(clock_mono_us() - begun) / (double)count;
}

static double flag_round(struct bench *bench, int64_t count)
{
	struct err err = ERR_INIT;
	int64_t begun = clock_mono_us();

	for (int64_t i = 0; i < count; i++)
		die_on(store_flag_set(bench->store, "production", "checkout", "g", i % 2 ? "true" : "false", "ana", "bench", NULL, &err),
			&err);
	return (double)(clock_mono_us() - begun) / (double)count;
}

static void print_ratio(const char *name, double ours, double bare)
{
	(void)printf("%-44s %8.1f us   bare commit %8.1f us   ratio %.2f\n", name, ours, bare, bare / ours);
}

static void close_bare(struct bench *bench)
{
	(void)sqlite3_finalize(bench->begin);
	(void)sqlite3_finalize(bench->insert);
	(void)sqlite3_finalize(bench->commit);
	(void)sqlite3_close(bench->bare);
}

static int64_t log_size(const char *dir, const char *name)
{
	_cleanup_talloc_ char *path = mem_printf(NULL, "%s/%s-wal", dir, name);
	struct stat status;

	return stat(path, &status) == 0 ? status.st_size : 0;
}

/* Past the first turn of both logs: they no longer grow. */
static void warm_up(struct bench *bench)
{
	const char *dir = bench->settings->dir;
	int64_t bare, store;

	do {
		bare = log_size(dir, "bare.db");
		store = log_size(dir, "store.db");
		(void)bare_round(bench, LOG_PAGES + 200);
		(void)store_round(bench, ENTRY_STEP_ENDED, true, LOG_PAGES / 2);
	} while (log_size(dir, "bare.db") > bare + LOG_SLACK || log_size(dir, "store.db") > store + LOG_SLACK);
}

static void bench_appends(struct bench *bench)
{
	double bare[ROUNDS], plain[ROUNDS], in_run[ROUNDS], flag[ROUNDS], middle;
	int64_t each = MAX(bench->settings->entries / ROUNDS, 1);
	int64_t bare_log, store_log;

	warm_up(bench);
	bare_log = log_size(bench->settings->dir, "bare.db");
	store_log = log_size(bench->settings->dir, "store.db");
	for (int i = 0; i < ROUNDS; i++) {
		bare[i] = bare_round(bench, each);
		plain[i] = store_round(bench, "note", false, each);
		in_run[i] = store_round(bench, ENTRY_STEP_ENDED, true, each);
		flag[i] = flag_round(bench, MAX(each / 4, 1));
	}
	/* The last commit of a turn may stand a few pages over the end. */
	if (log_size(bench->settings->dir, "bare.db") > bare_log + LOG_SLACK ||
		log_size(bench->settings->dir, "store.db") > store_log + LOG_SLACK)
		(void)printf("note: a log grew while this was measured; the ratios below compare unlike things\n");
	middle = median(bare, ROUNDS);
	print_ratio("steady: durable entry", median(plain, ROUNDS), middle);
	print_ratio("steady: durable entry of a step of a run", median(in_run, ROUNDS), middle);
	print_ratio("steady: durable change of a flag, read back", median(flag, ROUNDS), middle);
}

/* New files each time; both logs grow from nothing. */
static void bench_new_log(const struct bench *bench)
{
	double bare[ROUNDS], store[ROUNDS];
	struct err err = ERR_INIT;

	for (int i = 0; i < ROUNDS; i++) {
		struct bench fresh = { .ctx = mem_context(NULL), .settings = bench->settings };

		open_bare(&fresh, mem_printf(fresh.ctx, "%s/new-bare-%d.db", bench->settings->dir, i));
		die_on(store_open(fresh.ctx, mem_printf(fresh.ctx, "%s/new-%d.db", bench->settings->dir, i), NULL, NULL, &fresh.store,
			       &err),
			&err);
		bare[i] = bare_round(&fresh, NEW_LOG_COMMITS);
		store[i] = store_round(&fresh, ENTRY_STEP_ENDED, true, NEW_LOG_COMMITS);
		close_bare(&fresh);
		(void)talloc_free(fresh.ctx);
	}
	print_ratio("new log: durable entry of a step of a run", median(store, ROUNDS), median(bare, ROUNDS));
}

static void add_deployments(struct bench *bench, int64_t from, int64_t count)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct entry *entries = mem_array(ctx, struct entry, count);
	struct err err = ERR_INIT;

	for (int64_t i = 0; i < count; i++) {
		/* The newest thousand are failing or unknown, so the search has something to leave out. */
		const char *health = from + i < bench->settings->deployments - 1000 ? "passing" : i % 2 ? "failing" : "unknown";

		entries[i] = (struct entry){
			.kind = ENTRY_DEPLOYMENT_RECORDED,
			.environment = "production",
			.actor = "ci",
			.data = json_make(ctx, "{s:{s:s, s:s, s:s, s:{s:{s:s}}}}", "deployment", "id",
				mem_printf(ctx, "dep-%08lld", (long long)(from + i)), "version", "1.2.3", "health", health, "components",
				"api", "version", "1.2.3"),
		};
	}
	die_on(store_append_all(bench->store, ctx, NULL, entries, (size_t)count, &err), &err);
}

static double time_of(int (*query)(struct bench *bench, const void *ctx, struct err *err), struct bench *bench)
{
	double times[101];

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct err err = ERR_INIT;
		int64_t begun = clock_mono_us();

		die_on(query(bench, ctx, &err), &err);
		times[i] = (double)(clock_mono_us() - begun);
	}
	return median(times, ARRAY_SIZE(times));
}

static int query_last_stable(struct bench *bench, const void *ctx, struct err *err)
{
	struct deployment found;

	return store_last_stable(bench->store, ctx, "production", "dep-00000001", &found, err);
}

static int query_present(struct bench *bench, const void *ctx, struct err *err)
{
	struct deployment found;

	return store_present(bench->store, ctx, "production", &found, err);
}

static int query_newest(struct bench *bench, const void *ctx, struct err *err)
{
	struct deployment **list;
	size_t count;

	return store_deployments(bench->store, ctx, "production", 20, &list, &count, err);
}

static void bench_many(struct bench *bench)
{
	int64_t begun = clock_mono_ms(), count = bench->settings->deployments, took, verified;
	double bare[ROUNDS], record[ROUNDS];
	struct err err = ERR_INIT;
	char head[65];

	for (int64_t at = 0; at < count; at += BATCH)
		add_deployments(bench, at, MIN(BATCH, count - at));
	took = clock_mono_ms() - begun;
	(void)printf("%lld deployments recorded in big transactions   %.1f s   %.1f us each\n", (long long)count, (double)took / 1000,
		(double)took * 1000 / (double)count);
	(void)printf("last stable of %lld deployments                %8.1f us\n", (long long)count, time_of(query_last_stable, bench));
	(void)printf("present of %lld deployments                    %8.1f us\n", (long long)count, time_of(query_present, bench));
	(void)printf("newest 20 of %lld deployments                  %8.1f us\n", (long long)count, time_of(query_newest, bench));
	for (int i = 0; i < ROUNDS; i++) {
		bare[i] = bare_round(bench, 20);
		begun = clock_mono_us();
		add_deployments(bench, count + i, 1);
		record[i] = (double)(clock_mono_us() - begun);
	}
	print_ratio("one more deployment", median(record, ROUNDS), median(bare, ROUNDS));
	begun = clock_mono_ms();
	die_on(store_verify(bench->store, &verified, head, &err), &err);
	took = clock_mono_ms() - begun;
	(void)printf("chain of %lld entries verified   %.1f s   %.1f us each\n", (long long)verified, (double)took / 1000,
		(double)took * 1000 / (double)MAX(verified, 1));
}

static void bench_registry(struct bench *bench)
{
	_cleanup_talloc_ char *path = mem_printf(NULL, "%s/deployment-registry.json", bench->settings->dir);
	double record[ROUNDS], bare[ROUNDS];
	struct err err = ERR_INIT;

	die_on(store_open(bench->ctx, mem_printf(bench->ctx, "%s/store.db", bench->settings->dir), path, NULL, &bench->store, &err), &err);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t begun;

		bare[i] = bare_round(bench, 20);
		begun = clock_mono_us();
		add_deployments(bench, bench->settings->deployments + 1000 + i, 1);
		record[i] = (double)(clock_mono_us() - begun);
	}
	print_ratio("the same with the registry file", median(record, ROUNDS), median(bare, ROUNDS));
}

static void read_settings(int argc, char **argv, struct settings *settings)
{
	struct err err = ERR_INIT;

	for (int i = 1; i < argc; i += 2) {
		must(i + 1 < argc, "usage: bench_store [--entries N] [--deployments N] [--dir DIR]");
		if (!strcmp(argv[i], "--entries"))
			die_on(text_parse_int(argv[i + 1], 1, 10000000, &settings->entries, &err), &err);
		else if (!strcmp(argv[i], "--deployments"))
			die_on(text_parse_int(argv[i + 1], 2000, 100000000, &settings->deployments, &err), &err);
		else if (!strcmp(argv[i], "--dir"))
			settings->dir = argv[i + 1];
		else
			must(false, "usage: bench_store [--entries N] [--deployments N] [--dir DIR]");
	}
}

int main(int argc, char **argv)
{
	struct settings settings = { .entries = 6000, .deployments = 1000000, .dir = getenv("TMPDIR") };
	struct bench bench = { .ctx = mem_context(NULL), .settings = &settings };
	struct err err = ERR_INIT;
	char *dir;

	json_setup();
	hash_setup();
	read_settings(argc, argv, &settings);
	dir = mem_printf(bench.ctx, "%s/unship-bench-XXXXXX", settings.dir ? settings.dir : "/tmp");
	must(mkdtemp(dir) != NULL, "no folder to work in");
	settings.dir = dir;
	open_bare(&bench, mem_printf(bench.ctx, "%s/bare.db", dir));
	die_on(store_open(bench.ctx, mem_printf(bench.ctx, "%s/store.db", dir), NULL, NULL, &bench.store, &err), &err);
	bench_appends(&bench);
	bench_new_log(&bench);
	bench_many(&bench);
	(void)talloc_free(bench.store);
	bench_registry(&bench);
	close_bare(&bench);
	(void)talloc_free(bench.store);
	die_on(fs_remove_tree(dir, &err), &err);
	(void)talloc_free(bench.ctx);
	return 0;
}
