/* One operation of the snapshot store as a program of its own, so that it can be timed beside others (run):
 *
 *     bench_snapshot STATE take ID SOURCE      takes the folder
 *     bench_snapshot STATE export ID TO        lays it out in clear, durable
 *     bench_snapshot STATE open ID             lays it out in open/, as for a driver
 *     bench_snapshot STATE verify ID           reads all of it
 *
 * Sealed with the key in UNSHIP_BENCH_KEY; unsealed without. */
#include "base/clock.h"
#include "data/hash.h"
#include "snapshot/snapshot_store.h"

static void die_on(int r, const struct err *err)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "bench_snapshot: %s\n", err->text);
	exit(1);
}

static int take(struct snapshot_store *store, const char *id, const char *source, struct err *err)
{
	const struct snapshot_metadata metadata = { .id = id,
		.environment = "production",
		.from = "dep-2",
		.to = "dep-1",
		.wall_ms = clock_wall_ms() };
	struct snapshot_summary summary = { 0 };
	int r = snapshot_begin(store, &metadata, err);

	if (r == 0)
		r = snapshot_add_tree(store, id, "state/tree", source, err);
	if (r == 0)
		r = snapshot_seal(store, id, &summary, err);
	if (r == 0)
		(void)printf("%lld files, %lld bytes; read %lld, %lld; new %lld, %lld as stored\n", (long long)summary.files,
			(long long)summary.bytes, (long long)summary.read_files, (long long)summary.read_bytes,
			(long long)summary.new_files, (long long)summary.new_bytes);
	return r;
}

int main(int argc, char **argv)
{
	const char *secret = getenv("UNSHIP_BENCH_KEY");
	const struct snapshot_key key = { 1, secret };
	const struct snapshot_keys keys = { 1, &key, 1 };
	void *ctx = mem_context(NULL);
	struct snapshot_summary summary;
	struct snapshot_store *store;
	struct err err = ERR_INIT;
	json_t *problems;
	int r;

	json_setup();
	hash_setup();
	if (argc < 4) {
		(void)fprintf(stderr, "usage: bench_snapshot STATE take|export|open|verify ID [SOURCE|TO]\n");
		return 2;
	}
	const struct snapshot_store_options options = { .state_dir = argv[1], .project = "bench", .keys = secret ? &keys : NULL };

	die_on(snapshot_store_open(ctx, &options, &store, &err), &err);
	if (strcmp(argv[2], "take") == 0 && argc == 5)
		r = take(store, argv[3], argv[4], &err);
	else if (strcmp(argv[2], "export") == 0 && argc == 5)
		r = snapshot_export(store, argv[3], NULL, argv[4], &err);
	else if (strcmp(argv[2], "open") == 0)
		r = snapshot_open(store, ctx, argv[3], NULL, NULL, &err);
	else
		r = snapshot_verify(store, ctx, argv[3], 1, &summary, &problems, &err);
	die_on(r, &err);
	(void)talloc_free(ctx);
	return 0;
}
