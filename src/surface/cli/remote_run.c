/* A command over a server (remote.h): what stands around the request.
 *
 * Files: a path among the fields is the caller's; what stands in it is sent in the field that the table names for it. Confirmation: the plan is made by a dry run, shown and confirmed here, and then carried out only if it is
 * still the same (planHash). Progress: entries of the run come first from the journal, then from the events behind the last of them, by their numbers, so that none is missed or shown twice however often the connection breaks;
 * they are folded as those of a local run are. Main thread only. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/sse.h"
#include "ops/document.h"
#include "ops/runs.h"
#include "surface/cli/remote.h"
#include "surface/cli/watch.h"

#define ENTRIES_MAX  "100000"
#define QUIET_MS     45000 /* three heartbeats */
#define COME_BACK_MS 1000  /* when the server says nothing of it */
#define LOST_FOR_MS  60000 /* then following is given up; the run goes on without us */
#define CONNECT_MS   10000
#define ABANDONED_MS 30000 /* a run that nobody carries out for so long is not taken up by a server that starts anew */

/* --- files of the caller ---------------------------------------------------------------------------------------------------- */

static int send_files(struct remote *remote, const struct operation *operation, json_t *input, struct err *err)
{
	const void *ctx = remote->cli->ctx;

	for (const struct field *field = operation->fields; field->member; field++) {
		const struct field *content = field_content(operation->fields, field);
		const char *name = field_name(ctx, field), *path = json_str(input, name, NULL);
		json_t *document;
		int r;

		if (operation->local || (field->type == FIELD_TYPE_PATH && path && !content))
			return err_set(err, ERR_UNSUPPORTED,
				"`unship %s` works on files of the machine that has the project: run it there, without --server",
				command_usage(ctx, remote->cli->command->pattern));
		if (!content || !path)
			continue;
		r = document_pack(ctx, path, &document, err);
		if (r < 0)
			return r;
		json_put(input, field_name(ctx, content), document);
		json_object_del(input, name);
	}
	return 0;
}

/* --- the plan before it ------------------------------------------------------------------------------------------------------- */

static bool has_field(const struct operation *operation, const char *member)
{
	for (const struct field *field = operation->fields; field->member; field++)
		if (!strcmp(field->member, member))
			return true;
	return false;
}

/* Whether a plan is to be shown or a question asked; else the one request says it all. */
static bool is_planned(const struct cli *cli, const struct operation *operation, json_t *input)
{
	bool silent = (cli->json || cli->quiet) && cli->yes && !cli->confirm;

	return cli->command->extra && strstr(cli->command->extra, "confirm") && has_field(operation, "plan_hash") &&
		!json_flag(input, "dryRun", false) && !silent;
}

static int plan_first(struct remote *remote, const struct operation *operation, json_t *input, json_t **ret, struct err *err)
{
	struct cli *cli = remote->cli;
	json_t *dry = json_keep(cli->ctx, json_copy(input));
	int r;

	if (cli->op.tell)
		cli->op.tell(cli->op.user, mem_printf(cli->ctx, "asking %s for the plan", remote->url));
	json_put_flag(dry, "dryRun", true);
	r = remote_call(remote, operation, dry, ret, err);
	/* From here on it is meant: what is shown when it ends here is what the request itself would have answered. */
	if (json_object_get(*ret, "dryRun"))
		json_put_flag(*ret, "dryRun", false);
	if (r < 0 || !json_array_size(json_object_get(json_object_get(*ret, "plan"), "steps")))
		return r;
	r = cli->op.confirm(cli->op.user, *ret, err);
	if (r == 0 && !json_str(input, "planHash", NULL))
		json_put_str(input, "planHash", json_str(*ret, "planHash", NULL));
	return r;
}

/* --- following ---------------------------------------------------------------------------------------------------------------- */

struct chase {
	struct remote *remote;
	struct following following;
	struct sse *sse;
	const char *id;
	int64_t heard_ms;     /* when the server last sent something, monotonic */
	int64_t abandoned_ms; /* since when nobody carries it out, monotonic; 0: somebody does */
	bool begun;           /* the connection has told where it begins */
	bool quiet;           /* a heartbeat came: time to ask how the run stands */
	struct err err;       /* of the last piece of the stream */
};

static int add_entry(struct chase *chase, json_t *object)
{
	struct entry entry;
	int r;

	r = entry_from_json(chase->remote->cli->ctx, object, &entry, &chase->err);
	if (r < 0 || entry.seq <= chase->following.seq)
		return r;
	if (!entry.run || strcmp(entry.run, chase->id) != 0) {
		chase->following.seq = entry.seq;
		return 0;
	}
	return following_add(&chase->following, &entry, &chase->err);
}

static int take_event(void *user, const struct sse_event *event)
{
	struct chase *chase = user;
	json_t *object;

	chase->heard_ms = clock_mono_ms();
	if (!event->data) {
		/* The first block tells where the stream begins; those after it are heartbeats. */
		struct err ignored = ERR_INIT;
		int64_t position;

		if (event->id && text_parse_int(event->id, 0, INT64_MAX, &position, &ignored) == 0 && position > chase->following.seq)
			chase->following.seq = position;
		chase->quiet = chase->begun;
		chase->begun = true;
		return chase->quiet;
	}
	chase->begun = true;
	if (json_parse(chase->remote->cli->ctx, event->data, strlen(event->data), SSE_EVENT_MAX, &object, &chase->err) < 0 ||
		add_entry(chase, object) < 0)
		return 1;
	return following_is_over(&chase->following);
}

static int take_bytes(void *user, const char *bytes, size_t size)
{
	struct chase *chase = user;

	return sse_feed(chase->sse, bytes, size, &chase->err) != 0;
}

static bool is_interrupted(void *user)
{
	const struct cli *cli = ((struct chase *)user)->remote->cli;

	return cli->op.interrupted(cli->op.user);
}

static int entries_so_far(struct chase *chase, struct err *err)
{
	struct remote *remote = chase->remote;
	struct remote_request request = { .method = "GET",
		.path = mem_printf(remote->cli->ctx, "/api/v1/audit?limit=" ENTRIES_MAX "&run=%s",
			text_url_encode(remote->cli->ctx, chase->id)) };
	json_t *answer, *entries;
	int r;

	r = remote_ask(remote, &request, &answer, NULL, err);
	if (r < 0)
		return r;
	entries = json_object_get(answer, "entries");
	for (size_t i = json_array_size(entries); i-- > 0 && !following_is_over(&chase->following);)
		if (add_entry(chase, json_array_get(entries, i)) < 0) {
			*err = chase->err;
			return err_in(err, "%s: run %s", remote->url, chase->id);
		}
	return 0;
}

/* One connection. 0: it ended, or was lost, and may be taken up again. */
static int listen_once(struct chase *chase, struct err *err)
{
	struct remote *remote = chase->remote;
	const void *ctx = remote->cli->ctx;
	const char *path = mem_printf(ctx, "/api/v1/events?environment=%s&kind=run.*,step.*,snapshot.taken",
		text_url_encode(ctx, chase->following.run->environment));
	const char *headers[] = { "Accept: text/event-stream", mem_printf(ctx, "Last-Event-ID: %lld", (long long)chase->following.seq),
		remote->token ? mem_printf(ctx, "Authorization: Bearer %s", remote->token) : NULL, NULL };
	struct http_request http = {
		.method = "GET",
		.url = mem_printf(ctx, "%s%s", remote->url, path),
		.headers = headers,
		.connect_ms = CONNECT_MS,
		.quiet_ms = QUIET_MS,
		.local_ok = true,
		.ca_file = remote->cli->ca,
		.path_as_is = true,
		.take = take_bytes,
		.interrupted = is_interrupted,
		.user = chase,
	};
	struct http_response response;
	json_t *ignored;
	int r;

	chase->begun = chase->quiet = false;
	sse_restart(chase->sse);
	r = http_request(ctx, &http, &response, err);
	if (chase->err.code) {
		*err = chase->err;
		return err_in(err, "%s: events of run %s", remote->url, chase->id);
	}
	if (r == -ERR_CANCELLED || r == -ERR_INVALID)
		return r;
	if (r < 0 || (response.status >= 200 && response.status < 300) || response.status >= 500)
		return 0;
	return remote_problem(remote, &response, path, &ignored, err);
}

static int show(struct remote *remote, const char *run_id, json_t **ret, struct err *err)
{
	return remote_call(remote, operation_find("rollbacks.show"), json_make(remote->cli->ctx, "{s:s}", "id", run_id), ret, err);
}

/* How it stands, when the events say nothing. 1: there is nothing more to follow. */
static int look(struct chase *chase, struct err *err)
{
	struct remote_request request = { .method = "GET",
		.path = mem_printf(chase->remote->cli->ctx, "/api/v1/rollbacks/%s", text_url_encode(chase->remote->cli->ctx, chase->id)),
		.once = true };
	struct err lost = ERR_INIT;
	json_t *answer;
	enum run_status status;
	int r;

	if (remote_ask(chase->remote, &request, &answer, NULL, &lost) < 0)
		return 0;
	r = run_status_parse(json_str(answer, "status", ""), &status, err);
	if (r < 0)
		return r;
	if (run_status_ended(status) || status == RUN_WAITING)
		return 1;
	if (json_flag(answer, "carriedOut", true)) {
		chase->abandoned_ms = 0;
		return 0;
	}
	if (!chase->abandoned_ms)
		chase->abandoned_ms = clock_mono_ms();
	remote_pause(chase->remote, COME_BACK_MS);
	return clock_mono_ms() - chase->abandoned_ms > ABANDONED_MS;
}

/* After a connection. 1: there is nothing more to follow. */
static int come_back(struct chase *chase, struct err *err)
{
	if (!chase->quiet) {
		remote_pause(chase->remote, sse_retry_ms(chase->sse, COME_BACK_MS));
		if (clock_mono_ms() - chase->heard_ms > LOST_FOR_MS)
			return err_set(err, ERR_UNREACHABLE,
				"%s could not be reached for a minute; run %s may go on there: `unship status %s --watch%s`",
				chase->remote->url, chase->id, chase->id, remote_option(chase->remote));
		return 0;
	}
	return look(chase, err);
}

int remote_follow(struct remote *remote, const char *run_id, struct err *err)
{
	struct cli *cli = remote->cli;
	struct chase chase = { .remote = remote, .following = { .cli = cli }, .id = run_id, .heard_ms = clock_mono_ms(), .err = ERR_INIT };
	int r;

	chase.sse = sse_new(cli->ctx, take_event, &chase);
	r = entries_so_far(&chase, err);
	while (r == 0 && chase.following.run && !following_is_over(&chase.following)) {
		r = listen_once(&chase, err);
		if (r == 0 && !following_is_over(&chase.following))
			r = come_back(&chase, err);
		if (r == 0 && cli->op.interrupted(cli->op.user))
			r = err_set(err, ERR_CANCELLED, "interrupted");
	}
	talloc_free(chase.sse);
	if (r == -ERR_CANCELLED)
		return err_set(err, ERR_CANCELLED,
			"run %s goes on at %s: `unship status %s --watch%s` follows it, `unship cancel %s%s` takes it back", run_id,
			remote->url, run_id, remote_option(remote), run_id, remote_option(remote));
	return MIN(r, 0);
}

/* --- the whole command ---------------------------------------------------------------------------------------------------------- */

/* The answer of a run within that of an approval, or itself; NULL: there is none. */
static json_t *run_in(json_t *answer)
{
	json_t *result = json_object_get(answer, "result");
	json_t *run = json_object_get(result, "rollbackId") ? result : answer;

	return json_str(run, "rollbackId", NULL) ? run : NULL;
}

static bool goes_on(json_t *run)
{
	struct err ignored = ERR_INIT;
	enum run_status status;

	return run_status_parse(json_str(run, "status", ""), &status, &ignored) == 0 && !run_status_ended(status) && status != RUN_WAITING;
}

/* The run to its end. `r` and *err: what the request came to. */
static int see_through(struct remote *remote, const struct operation *operation, int r, json_t **answer, struct err *err)
{
	json_t *run = run_in(*answer), *ended;
	const char *id = json_str(run, "rollbackId", NULL);

	if (!run || !strcmp(operation->method, "GET"))
		return r;
	if (r == 0 && goes_on(run))
		r = remote_follow(remote, id, err);
	if (r < 0 && (err->code == ERR_CANCELLED || err->code == ERR_UNREACHABLE))
		return r;
	*err = ERR_INIT;
	r = show(remote, id, &ended, err);
	if (r < 0)
		return r;
	if (run == *answer)
		*answer = ended;
	else
		json_object_set(*answer, "result", ended);
	if (goes_on(ended))
		return err_set(err, ERR_UNREACHABLE, "nobody carries run %s out any more: `unship resume %s%s` goes on with it", id, id,
			remote_option(remote));
	r = run_outcome(ended, err);
	return r == -ERR_RESTORED && !strcmp(operation->name, "rollbacks.cancel") ? 0 : r; /* that is what was asked for */
}

int remote_run(struct remote *remote, const struct operation *operation, json_t **ret, struct err *err)
{
	struct cli *cli = remote->cli;
	json_t *input = cli->input;
	int r;

	r = send_files(remote, operation, input, err);
	if (r == 0 && is_planned(cli, operation, input))
		r = plan_first(remote, operation, input, ret, err);
	if (r < 0)
		return r;
	r = remote_call(remote, operation, input, ret, err);
	return *ret ? see_through(remote, operation, r, ret, err) : r;
}
