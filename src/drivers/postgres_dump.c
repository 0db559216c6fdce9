/* pg_dump and pg_restore (postgres_dump.h). A dump is in the custom format, uncompressed: what keeps it compresses, and finds what did not change. One thread. */
#include "drivers/postgres_dump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "drivers/env.h"
#include "drivers/program.h"

#define RESERVE_MS     500 /* of the call's time, for our own words when a program is late */
#define SCRIPT_MAX     (256u << 20)
#define LINE_MAX_BYTES (1u << 30)
#define READ_BYTES     (256u << 10)

static void put_variable(void *user, const char *name, const char *value)
{
	env_put(user, name, value);
}

static int make_env(struct driver_call *call, const struct pg_place *place, struct env **ret, struct err *err)
{
	*ret = env_new(call->ctx);
	env_put(*ret, "PGAPPNAME", "unship");
	env_put(*ret, "PGCONNECT_TIMEOUT", "10");
	return place ? pg_environment(place, put_variable, *ret, err) : 0;
}

static int make_spec(struct driver_call *call, const struct pg_place *place, const char *const *argv, struct proc_spec *ret,
	struct err *err)
{
	struct env *env;
	int r = make_env(call, place, &env, err);

	if (r == 0)
		*ret = (struct proc_spec){ .argv = argv,
			.env = env->list,
			.dir = call->project_dir,
			.deadline_ms = call->deadline_ms - RESERVE_MS };
	return r;
}

struct argv {
	const char *list[256];
	size_t count;
};

static void add(struct argv *argv, const char *word)
{
	assert_always(argv->count < ARRAY_SIZE(argv->list) - 1);
	argv->list[argv->count++] = word;
}

int postgres_program_version(struct driver_call *call, const char *program, int *ret, struct err *err)
{
	struct proc_spec spec;
	struct proc_result result;
	const char *number;
	int r;

	r = make_spec(call, NULL, (const char *const[]){ program, "--version", NULL }, &spec, err);
	if (r == 0)
		r = proc_run_ok(call->ctx, &spec, &result, err);
	if (r < 0)
		return r;
	number = strpbrk(result.output, "0123456789");
	if (!number)
		return err_set(err, ERR_DRIVER, "%s does not say its version", program);
	*ret = atoi(number);
	return 0;
}

/* ---- out ---- */

static int make_durable(const char *partial, const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_talloc_ char *folder = mem_strndup(NULL, path, (size_t)(strrchr(path, '/') - path));

	if (fd < 0 || fchmod(fd, 0600) < 0 || fsync(fd) < 0 || rename(partial, path) < 0)
		return err_errno(err, errno, "%s", path);
	return fs_sync_dir(folder, err);
}

int postgres_dump(struct driver_call *call, const struct pg_place *place, const char *snapshot, const char *const *schemas,
	const char *path, struct err *err)
{
	char *partial = mem_printf(call->ctx, "%s.partial", path);
	struct argv argv = { .count = 0 };
	struct proc_result result;
	struct proc_spec spec;
	int r;

	add(&argv, "pg_dump");
	add(&argv, "--format=custom");
	add(&argv, "--compress=0");
	add(&argv, "--no-password");
	add(&argv, "--no-subscriptions");
	add(&argv,
		mem_printf(call->ctx, "--lock-wait-timeout=%lld",
			(long long)MAX(call->deadline_ms - clock_mono_ms() - RESERVE_MS, (int64_t)1)));
	add(&argv, mem_printf(call->ctx, "--snapshot=%s", snapshot));
	add(&argv, mem_printf(call->ctx, "--file=%s", partial));
	for (size_t i = 0; schemas && schemas[i]; i++)
		add(&argv, mem_printf(call->ctx, "--schema=%s", pg_quote(call->ctx, schemas[i])));
	add(&argv, NULL);
	r = fs_remove_tree(partial, err);
	if (r == 0)
		r = make_spec(call, place, argv.list, &spec, err);
	if (r == 0)
		r = program_run_ok(call, &spec, &result, err);
	return r < 0 ? r : make_durable(partial, path, err);
}

/* ---- table of contents ---- */

/* Longest first where one begins another. A type that is not here is read as its first word. */
static const char *const long_types[] = { "MATERIALIZED VIEW DATA", "MATERIALIZED VIEW", "TABLE DATA", "TABLE ATTACH", "INDEX ATTACH",
	"FK CONSTRAINT", "CHECK CONSTRAINT", "SEQUENCE OWNED BY", "SEQUENCE SET", "DEFAULT ACL", "EVENT TRIGGER", "FOREIGN DATA WRAPPER",
	"FOREIGN TABLE", "FOREIGN SERVER", "USER MAPPING", "OPERATOR CLASS", "OPERATOR FAMILY", "TEXT SEARCH PARSER",
	"TEXT SEARCH DICTIONARY", "TEXT SEARCH TEMPLATE", "TEXT SEARCH CONFIGURATION", "ROW SECURITY", "PUBLICATION TABLES IN SCHEMA",
	"PUBLICATION TABLE", "PROCEDURAL LANGUAGE", "ACCESS METHOD", "BLOB COMMENTS", "BLOB METADATA", "BLOBS", "SECURITY LABEL",
	"DATABASE PROPERTIES", "SHELL TYPE", "STATISTICS DATA" };

static bool read_entry(const void *ctx, char *line, struct postgres_entry *ret)
{
	char *at = strstr(line, "; ");

	if (!at || strspn(line, "0123456789") != (size_t)(at - line))
		return false;
	at += 2;
	for (int i = 0; i < 2; i++) { /* catalogue and object id */
		at += strspn(at, "0123456789");
		at += *at == ' ';
	}
	*ret = (struct postgres_entry){ .line = line };
	for (size_t i = 0; !ret->type && i < ARRAY_SIZE(long_types); i++)
		if (text_starts_with(at, long_types[i]) && at[strlen(long_types[i])] == ' ')
			ret->type = long_types[i];
	if (!ret->type)
		ret->type = mem_strndup(ctx, at, strcspn(at, " "));
	at += strlen(ret->type);
	ret->rest = *at == ' ' ? at + 1 : at;
	return true;
}

bool postgres_entry_is(const struct postgres_entry *entry, const char *type, const char *schema, const char *name)
{
	_cleanup_talloc_ char *begin = mem_printf(NULL, "%s %s ", schema, name);

	return strcmp(entry->type, type) == 0 && text_starts_with(entry->rest, begin);
}

int postgres_read_toc(struct driver_call *call, const char *path, struct postgres_toc *ret, struct err *err)
{
	const char *const argv[] = { "pg_restore", "--list", path, NULL };
	struct postgres_toc toc = { .count = 0 };
	struct proc_result result;
	struct proc_spec spec;
	char **lines;
	size_t count = 0;
	int r;

	r = make_spec(call, NULL, argv, &spec, err);
	spec.output_max = SCRIPT_MAX;
	spec.kill_on_overflow = true;
	if (r == 0)
		r = proc_run(call->ctx, &spec, &result, err);
	if (r < 0)
		return r;
	if (result.timed_out)
		return err_set(err, ERR_TIMEOUT, "reading the copy took too long");
	if (result.exit_code != 0 || result.overflowed)
		return err_set(err, ERR_CORRUPT, "the copy cannot be read: %s",
			program_last_line(call->ctx, result.errors, result.errors_size));
	lines = text_split(call->ctx, result.output, '\n');
	while (lines[count])
		count++;
	toc.list = mem_array(call->ctx, struct postgres_entry, count + 1);
	for (size_t i = 0; i < count; i++) {
		const char *from = text_starts_with(lines[i], ";") ? strstr(lines[i], "Dumped from database version: ") : NULL;

		if (from)
			toc.server_version = atoi(from + strlen("Dumped from database version: ")) * 10000;
		else if (*lines[i] != ';')
			toc.count += read_entry(call->ctx, lines[i], &toc.list[toc.count]);
	}
	if (toc.server_version == 0)
		return err_set(err, ERR_CORRUPT, "the copy does not say which server it was made from");
	*ret = toc;
	return 0;
}

/* ---- back into SQL ---- */

/* What is not for us in a script: its header sets limits to nothing, and two lines with the same secret word fence it off for psql, whose commands are no SQL. */
static void blank_settings(char *text)
{
	static const char *const settings[] = { "SET statement_timeout = 0;", "SET lock_timeout = 0;",
		"SET idle_in_transaction_session_timeout = 0;", "SET transaction_timeout = 0;", "\\restrict " };
	_cleanup_talloc_ char *fence = NULL;
	char *end, *next;

	for (char *line = text; *line && !text_starts_with(line, "-- Name: ") && !text_starts_with(line, "-- Data for Name: ");
		line = next) {
		size_t length = strcspn(line, "\n");

		next = line + length + (line[length] == '\n');
		for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
			if (text_starts_with(line, settings[i])) {
				if (settings[i][0] == '\\')
					fence = mem_printf(NULL, "\n\\unrestrict %.*s\n", (int)(length - strlen(settings[i])),
						line + strlen(settings[i]));
				memset(line, ' ', length);
				break;
			}
	}
	end = fence ? strstr(text, fence) : NULL;
	if (end)
		memset(end + 1, ' ', strlen(fence) - 2);
}

int postgres_script(struct driver_call *call, const char *path, const char *section, const char *lines, char **ret, struct err *err)
{
	const char *const argv[] = { "pg_restore", "--file=-", mem_printf(call->ctx, "--section=%s", section), "--use-list=/dev/stdin",
		path, NULL };
	struct proc_result result;
	struct proc_spec spec;
	int r;

	r = make_spec(call, NULL, argv, &spec, err);
	spec.input = lines;
	spec.input_size = strlen(lines);
	spec.output_max = SCRIPT_MAX;
	spec.kill_on_overflow = true;
	if (r == 0)
		r = proc_run(call->ctx, &spec, &result, err);
	if (r < 0)
		return r;
	if (result.timed_out)
		return err_set(err, ERR_TIMEOUT, "reading the copy took too long");
	if (result.overflowed)
		return err_set(err, ERR_TOO_LARGE, "the definitions in the copy are larger than %u bytes", SCRIPT_MAX);
	if (result.exit_code != 0)
		return err_set(err, ERR_CORRUPT, "the copy cannot be read: %s",
			program_last_line(call->ctx, result.errors, result.errors_size));
	blank_settings(result.output);
	*ret = result.output;
	return 0;
}

int postgres_restore_into(struct driver_call *call, const struct pg_place *place, const char *path, const char *lines, struct err *err)
{
	char *name;
	const char *argv[] = { "pg_restore", "--no-password", "--single-transaction", "--exit-on-error", "--use-list=/dev/stdin", NULL,
		path, NULL };
	struct proc_result result;
	struct proc_spec spec;
	int r;

	r = pg_database_name(call->ctx, place, &name, err);
	if (r < 0)
		return r;
	argv[5] = mem_printf(call->ctx, "--dbname=%s", name);
	r = make_spec(call, place, argv, &spec, err);
	spec.input = lines;
	spec.input_size = strlen(lines);
	return r < 0 ? r : program_run_ok(call, &spec, &result, err);
}

/* ---- rows ---- */

/* Lines of a program's output as they come. */
struct stream {
	struct proc proc;
	int64_t deadline_ms;
	char *bytes;
	size_t begin, end, room;
	bool over;
};

static void end_stream(struct stream *stream)
{
	proc_close(&stream->proc);
	(void)talloc_free(stream->bytes);
}

static int fill(struct stream *stream, struct err *err)
{
	struct pollfd wait = { .fd = stream->proc.out, .events = POLLIN };
	ssize_t n;

	if (stream->begin > 0) {
		memmove(stream->bytes, stream->bytes + stream->begin, stream->end - stream->begin);
		stream->end -= stream->begin;
		stream->begin = 0;
	}
	if (stream->room - stream->end < READ_BYTES) {
		if (stream->room > LINE_MAX_BYTES)
			return err_set(err, ERR_TOO_LARGE, "a row of the copy is larger than %u bytes", LINE_MAX_BYTES);
		stream->room = MAX(2 * stream->room, (size_t)4 * READ_BYTES);
		stream->bytes = mem_resize(NULL, stream->bytes, char, stream->room);
	}
	for (;;) {
		n = read(stream->proc.out, stream->bytes + stream->end, stream->room - stream->end);
		if (n >= 0) {
			stream->over = n == 0;
			stream->end += (size_t)n;
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, errno, "reading from pg_restore");
		if (clock_mono_ms() >= stream->deadline_ms)
			return err_set(err, ERR_TIMEOUT, "reading the copy took too long");
		(void)poll(&wait, 1, 1000);
	}
}

/* The next line with its break; *ret NULL at the end. Valid until the next call. */
static int take_line(struct stream *stream, char **ret, size_t *ret_size, struct err *err)
{
	size_t looked = 0;
	char *found;
	int r;

	*ret = NULL;
	for (;;) {
		found = memchr(stream->bytes + stream->begin + looked, '\n', stream->end - stream->begin - looked);
		if (found) {
			*ret = stream->bytes + stream->begin;
			*ret_size = (size_t)(found - *ret) + 1;
			stream->begin += *ret_size;
			return 0;
		}
		looked = stream->end - stream->begin;
		if (stream->over)
			return 0;
		r = fill(stream, err);
		if (r < 0)
			return r;
	}
}

/* "COPY public.users (id, name) FROM stdin;": where its columns stand. */
static bool is_copy(const void *ctx, const char *line, size_t size, char **ret_table, char **ret_columns)
{
	static const char end[] = ") FROM stdin;\n";
	const char *open;
	char *text;

	if (size < strlen(end) || !text_starts_with(line, "COPY ") || memcmp(line + size - strlen(end), end, strlen(end)) != 0)
		return false;
	text = mem_strndup(ctx, line, size - strlen(end));
	open = strstr(text, " (");
	for (const char *quote = strchr(text, '"'); quote && open && quote < open;) { /* " (" may be part of a quoted name */
		const char *closing = strchr(quote + 1, '"');

		if (closing && closing > open)
			open = strstr(closing, " (");
		quote = closing ? strchr(closing + 1, '"') : NULL;
	}
	if (!open)
		return false;
	*ret_table = mem_strndup(ctx, text + strlen("COPY "), (size_t)(open - text) - strlen("COPY "));
	*ret_columns = mem_strdup(ctx, open + 2);
	return true;
}

static int make_text_table(struct driver_call *call, struct pg *pg, const char *to, const char *columns, struct err *err)
{
	/* Names with commas in them are quoted, so the server splits the list, not we: an empty result with these columns. */
	char *wanted = mem_printf(call->ctx, "CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT ", to);
	bool quoted = false;
	const char *from = columns;

	for (const char *c = columns;; c++) {
		quoted = quoted != (*c == '"');
		if (*c && (quoted || *c != ','))
			continue;
		wanted = mem_appendf(wanted, "%sNULL::text AS %.*s", from == columns ? "" : ", ", (int)(c - from), from);
		if (!*c)
			break;
		from = c + 2;
	}
	return pg_run(pg, mem_append(wanted, " LIMIT 0"), "making room for the rows", err);
}

static int feed_table(struct stream *stream, struct pg *pg, const char *statement, const char *table, struct err *err)
{
	char *line;
	size_t size;
	int r;

	r = pg_copy_begin(pg, statement, table, err);
	while (r == 0) {
		r = take_line(stream, &line, &size, err);
		if (r == 0 && !line)
			r = err_set(err, ERR_CORRUPT, "the rows of %s end in the middle", table);
		if (r == 0 && size == 3 && memcmp(line, "\\.\n", 3) == 0)
			return pg_copy_end(pg, table, err);
		if (r == 0)
			r = pg_copy_bytes(pg, line, size, table, err);
	}
	return r;
}

static int feed_all(struct driver_call *call, struct stream *stream, struct pg *pg, const char *to, char **ret_columns, struct err *err)
{
	char *line, *table, *columns;
	size_t size;
	int r;

	for (;;) {
		r = take_line(stream, &line, &size, err);
		if (r < 0 || !line)
			return r;
		if (!is_copy(call->ctx, line, size, &table, &columns))
			continue;
		if (to)
			r = make_text_table(call, pg, to, columns, err);
		if (r == 0)
			r = feed_table(stream, pg, mem_printf(call->ctx, "COPY %s (%s) FROM stdin", to ? to : table, columns), table, err);
		if (r < 0)
			return r;
		if (ret_columns)
			*ret_columns = columns;
		call_progress(call, -1, "%s", table);
	}
}

static int wait_end(struct stream *stream, struct err *err)
{
	struct proc_result result = { 0 };
	char said[512];
	ssize_t n;

	while (!proc_poll(&stream->proc, &result)) {
		if (clock_mono_ms() >= stream->deadline_ms)
			return err_set(err, ERR_TIMEOUT, "reading the copy took too long");
		clock_sleep_ms(5);
	}
	if (result.exit_code == 0)
		return 0;
	n = read(stream->proc.err, said, sizeof(said) - 1);
	said[MAX(n, (ssize_t)0)] = 0;
	return err_set(err, ERR_CORRUPT, "the copy cannot be read: %s", said);
}

int postgres_feed(struct driver_call *call, struct pg *pg, const char *path, const char *lines, const char *to, char **ret_columns,
	struct err *err)
{
	const char *const argv[] = { "pg_restore", "--file=-", "--data-only", "--use-list=/dev/stdin", path, NULL };
	_cleanup_(end_stream) struct stream stream = { .proc = { .pidfd = -1, .status_fd = -1, .in = -1, .out = -1, .err = -1 },
		.deadline_ms = call->deadline_ms - RESERVE_MS };
	struct proc_spec spec;
	int r;

	r = make_spec(call, NULL, argv, &spec, err);
	spec.input = lines;
	spec.input_size = strlen(lines);
	spec.deadline_ms = 0; /* watched here */
	if (r == 0)
		r = proc_start(&spec, &stream.proc, err);
	if (r == 0)
		r = fill(&stream, err);
	if (r == 0)
		r = feed_all(call, &stream, pg, to, ret_columns, err);
	return r < 0 ? r : wait_end(&stream, err);
}
