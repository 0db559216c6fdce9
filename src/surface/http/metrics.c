/* Metrics: counted as things happen (the journal's entries on the follower's thread, commits wherever they are made; requests by the server itself), and written out when they are asked for. Nothing is read from the store then, so
 * monitoring works when the store does not.
 *
 * To add one: a row in `families` and a line where it happens; or, for what is only of the moment, a line in write_moment.
 * One mutex guards all numbers. */
#include "surface/http/metrics.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "core/run.h"
#include "data/json.h"
#include "surface/http/events.h"
#include "surface/http/follow.h"
#include "surface/http/health.h"
#include "surface/http/series.h"
#include "surface/http/sinks.h"

enum {
	RUNS,
	RUN_SECONDS,
	RUNS_UNFINISHED,
	LAST_COMPLETED,
	STEPS,
	STEP_SECONDS,
	FINDINGS,
	REFUSALS,
	FLAG_CHANGES,
	PROBES,
	NOTIFICATIONS,
	COMMIT_SECONDS,
	READINESS,
	READY_TARGETS,
	ESTIMATE_SECONDS,
	READINESS_LOOKED,
};

static const struct family families[] = {
	[RUNS] = { "unship_runs_total", FAMILY_COUNTER, "Runs that have ended, by how they ended." },
	[RUN_SECONDS] = { "unship_run_duration_seconds", FAMILY_HISTOGRAM, "Time from the request of a run to its end.",
		{ 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600 } },
	[RUNS_UNFINISHED] = { "unship_runs_unfinished", FAMILY_GAUGE,
		"Runs that have not ended, those that wait for a person among them." },
	[LAST_COMPLETED] = { "unship_last_completed_run_timestamp_seconds", FAMILY_GAUGE, "When the newest completed run ended." },
	[STEPS] = { "unship_steps_total", FAMILY_COUNTER, "Attempts of steps, by what was done and what came of it." },
	[STEP_SECONDS] = { "unship_step_duration_seconds", FAMILY_HISTOGRAM, "Time that an attempt of a step took.",
		{ 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800 } },
	[FINDINGS] = { "unship_findings_total", FAMILY_COUNTER,
		"Safety checks that did not pass, of runs that were requested or refused." },
	[REFUSALS] = { "unship_refusals_total", FAMILY_COUNTER, "Requests that were refused, by operation." },
	[FLAG_CHANGES] = { "unship_flag_changes_total", FAMILY_COUNTER, "Changes of feature flags." },
	[PROBES] = { "unship_probe_healthy", FAMILY_GAUGE, "Did the probe pass when it was last recorded (1) or not (0)?" },
	[NOTIFICATIONS] = { "unship_notifications_total", FAMILY_COUNTER, "Notifications, by what became of them." },
	[COMMIT_SECONDS] = { "unship_store_commit_duration_seconds", FAMILY_HISTOGRAM,
		"Time that a transaction of this process took, from its beginning to its commit.",
		{ 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10 } },
	[READINESS] = { "unship_readiness", FAMILY_GAUGE,
		"Is there a deployment that a rollback would choose and could return to (1) or not (0)?" },
	[READY_TARGETS] = { "unship_ready_targets", FAMILY_GAUGE, "Deployments that could be returned to." },
	[ESTIMATE_SECONDS] = { "unship_rollback_estimate_seconds", FAMILY_GAUGE,
		"How long a rollback to the best deployment would take, by what former ones took." },
	[READINESS_LOOKED] = { "unship_readiness_timestamp_seconds", FAMILY_GAUGE, "When readiness was looked at last." },
	{ 0 },
};

struct metrics {
	struct server *server;
	pthread_mutex_t mutex;
	struct series_set *set;
	struct series *commits;
	json_t *requested; /* environment -> {run, ms}: its unfinished run; the follower's thread */
};

static struct series *get(struct metrics *metrics, size_t family, const char *environment, const struct label *labels)
{
	return series_get(metrics->set, &families[family], environment, labels);
}

static void count_one(struct metrics *metrics, size_t family, const char *environment, const char *name, const char *value)
{
	const struct label labels[] = { { name, value }, { 0 } };

	series_add(get(metrics, family, environment, labels), 1);
}

/* --- entries: on the follower's thread, mutex held ------------------------------------------------------------------------------------------------------- */

static void count_findings(struct metrics *metrics, const struct entry *entry)
{
	json_t *finding;
	size_t index;

	json_array_foreach(json_object_get(entry->data, "findings"), index, finding) {
		const struct label labels[] = { { "check", json_str(finding, "name", "") },
			{ "severity", json_str(finding, "severity", "") }, { 0 } };

		if (!json_flag(finding, "passed", true))
			series_add(get(metrics, FINDINGS, entry->environment, labels), 1);
	}
}

static void run_requested(struct metrics *metrics, const char *environment, const char *run, int64_t wall_ms)
{
	json_object_set_new(metrics->requested, environment, json_pack("{s:s, s:I}", "run", run, "ms", (json_int_t)wall_ms));
	series_set_value(get(metrics, RUNS_UNFINISHED, environment, NULL), 1);
}

static void on_run_requested(struct metrics *metrics, const struct entry *entry)
{
	count_findings(metrics, entry);
	if (entry->environment && entry->run)
		run_requested(metrics, entry->environment, entry->run, entry->wall_ms);
}

static void on_run_ended(struct metrics *metrics, const struct entry *entry)
{
	const char *status = json_str(entry->data, "status", "");
	json_t *requested;

	if (!entry->environment || !entry->run)
		return;
	count_one(metrics, RUNS, entry->environment, "status", status);
	requested = json_object_get(metrics->requested, entry->environment);
	if (!strcmp(json_str(requested, "run", ""), entry->run)) {
		series_observe(get(metrics, RUN_SECONDS, entry->environment, NULL),
			(double)MAX(entry->wall_ms - json_int(requested, "ms", entry->wall_ms), 0) / 1000);
		json_object_del(metrics->requested, entry->environment);
	}
	series_set_value(get(metrics, RUNS_UNFINISHED, entry->environment, NULL), 0);
	if (!strcmp(status, run_status_name(RUN_COMPLETED)))
		series_set_value(get(metrics, LAST_COMPLETED, entry->environment, NULL), (double)entry->wall_ms / 1000);
}

static void on_step_ended(struct metrics *metrics, const struct entry *entry)
{
	const struct label labels[] = { { "verb", json_str(entry->data, "verb", "") }, { "outcome", json_str(entry->data, "outcome", "") },
		{ 0 } };
	const struct label verb[] = { labels[0], { 0 } };

	series_add(get(metrics, STEPS, entry->environment, labels), 1);
	if (json_object_get(entry->data, "durationMs"))
		series_observe(get(metrics, STEP_SECONDS, entry->environment, verb), (double)json_int(entry->data, "durationMs", 0) / 1000);
}

static void on_refused(struct metrics *metrics, const struct entry *entry)
{
	count_findings(metrics, entry);
	count_one(metrics, REFUSALS, entry->environment, "operation", json_str(entry->data, "operation", "unknown"));
}

static void on_flag(struct metrics *metrics, const struct entry *entry)
{
	count_one(metrics, FLAG_CHANGES, entry->environment, "change", entry->kind + strlen("flag."));
}

static void on_health(struct metrics *metrics, const struct entry *entry)
{
	json_t *probe;
	size_t index;

	json_array_foreach(json_object_get(entry->data, "probes"), index, probe) {
		const struct label labels[] = { { "probe", json_str(probe, "name", "") }, { 0 } };

		series_set_value(get(metrics, PROBES, entry->environment, labels), strcmp(json_str(probe, "status", "fail"), "fail") != 0);
	}
}

static void on_notification(struct metrics *metrics, const struct entry *entry)
{
	count_one(metrics, NOTIFICATIONS, entry->environment, "outcome", entry->kind + strlen("notification."));
}

static const struct {
	const char *kind;
	void (*count)(struct metrics *metrics, const struct entry *entry);
} counters[] = {
	{ ENTRY_RUN_REQUESTED, on_run_requested },
	{ ENTRY_RUN_ENDED, on_run_ended },
	{ ENTRY_STEP_ENDED, on_step_ended },
	{ ENTRY_REFUSED, on_refused },
	{ ENTRY_FLAG_SET, on_flag },
	{ ENTRY_FLAG_RESTORED, on_flag },
	{ ENTRY_DEPLOYMENT_HEALTH, on_health },
	{ ENTRY_NOTIFICATION_DELIVERED, on_notification },
	{ ENTRY_NOTIFICATION_FAILED, on_notification },
};

static void entries_added(void *user, const struct entry *entries, size_t count)
{
	struct metrics *metrics = user;

	(void)pthread_mutex_lock(&metrics->mutex);
	for (size_t i = 0; i < count; i++)
		for (size_t c = 0; c < ARRAY_SIZE(counters); c++)
			if (!strcmp(entries[i].kind, counters[c].kind))
				counters[c].count(metrics, &entries[i]);
	(void)pthread_mutex_unlock(&metrics->mutex);
}

/* --- commits: from any thread ---------------------------------------------------------------------------------------------------------------------------- */

void metrics_commit(struct server *server, int64_t took_us)
{
	struct metrics *metrics = service_state(server, &metrics_service);

	if (!metrics)
		return;
	(void)pthread_mutex_lock(&metrics->mutex);
	series_observe(metrics->commits, (double)took_us / 1e6);
	(void)pthread_mutex_unlock(&metrics->mutex);
}

void metrics_readiness(struct server *server, const char *environment, json_t *answer)
{
	struct metrics *metrics = service_state(server, &metrics_service);
	json_t *best = json_object_get(answer, "best"), *target;
	size_t index;

	(void)pthread_mutex_lock(&metrics->mutex);
	series_set_value(get(metrics, READINESS, environment, NULL), best != NULL);
	series_set_value(get(metrics, READY_TARGETS, environment, NULL), (double)json_int(answer, "ready", 0));
	series_set_value(get(metrics, READINESS_LOOKED, environment, NULL), (double)clock_wall_ms() / 1000);
	json_array_foreach(json_object_get(answer, "targets"), index, target) {
		json_t *median = json_object_get(json_object_get(target, "estimate"), "medianMs");

		if (best && median && !strcmp(json_str(target, "deploymentId", ""), json_str(best, "deploymentId", "")))
			series_set_value(get(metrics, ESTIMATE_SECONDS, environment, NULL), (double)json_integer_value(median) / 1000);
	}
	(void)pthread_mutex_unlock(&metrics->mutex);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------------------------------ */

static int begin_from_store(struct metrics *metrics, const void *ctx, struct store *store, struct err *err)
{
	const struct project *project = metrics->server->project;
	int r = 0;

	for (size_t i = 0; r == 0 && i < project->environment_count; i++) {
		const char *environment = project->environments[i].name;
		struct err why = ERR_INIT;
		struct run_row *rows, row;
		size_t count;

		r = store_runs(store, ctx, environment, run_status_name(RUN_COMPLETED), 1, &rows, &count, err);
		if (r < 0)
			break;
		if (count > 0)
			series_set_value(get(metrics, LAST_COMPLETED, environment, NULL), (double)rows[0].ended_ms / 1000);
		series_set_value(get(metrics, RUNS_UNFINISHED, environment, NULL), 0);
		r = store_unfinished_run(store, ctx, environment, &row, &why);
		if (r == 0) {
			run_requested(metrics, environment, row.id, row.requested_ms);
		} else if (r == -ERR_NOT_FOUND) {
			r = 0;
		} else {
			*err = why;
		}
	}
	return r;
}

static int metrics_free(struct metrics *metrics)
{
	(void)pthread_mutex_destroy(&metrics->mutex);
	return 0;
}

static int metrics_start(struct server *server, void **ret_state, struct err *err)
{
	struct metrics *metrics = mem_zero(NULL, struct metrics);
	struct workspace *workspace;
	int64_t head;
	int r;

	metrics->server = server;
	(void)pthread_mutex_init(&metrics->mutex, NULL);
	talloc_set_destructor(metrics, metrics_free);
	metrics->set = series_set_new(metrics, families);
	metrics->commits = get(metrics, COMMIT_SECONDS, NULL, NULL);
	metrics->requested = json_keep(metrics, json_object());
	/* The lock keeps entries waiting that come while the store is read: each is counted once. */
	(void)pthread_mutex_lock(&metrics->mutex);
	follower_subscribe(server->follower, entries_added, metrics, &head);
	r = server_workspace(server, metrics, &workspace, err);
	if (r == 0)
		r = workspace_store(workspace, err);
	if (r == 0) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);

		r = begin_from_store(metrics, ctx, workspace->store, err);
		(void)talloc_free(workspace);
	}
	(void)pthread_mutex_unlock(&metrics->mutex);
	if (r < 0) {
		follower_unsubscribe(server->follower, entries_added, metrics);
		(void)talloc_free(metrics);
		return err_in(err, "metrics");
	}
	*ret_state = metrics;
	return 0;
}

static void metrics_stop(struct server *server, void *state)
{
	struct metrics *metrics = state;

	follower_unsubscribe(server->follower, entries_added, metrics);
	(void)talloc_free(metrics);
}

const struct service metrics_service = { .name = "metrics", .start = metrics_start, .stop = metrics_stop };

/* --- what is only of this moment ------------------------------------------------------------------------------------------------------------------------- */

static void write_gauge(FILE *out, const char *name, const char *help, double value)
{
	series_write_family(out, name, FAMILY_GAUGE, help);
	series_write_sample(out, name, NULL, value);
}

static void write_counter(FILE *out, const char *name, const char *help, double value)
{
	series_write_family(out, name, FAMILY_COUNTER, help);
	series_write_sample(out, name, NULL, value);
}

static void write_dependency(void *user, const char *name, enum condition word, unused_arg int64_t age_ms)
{
	const struct label labels[] = { { "dependency", name }, { 0 } };

	if (word != CONDITION_UNKNOWN)
		series_write_sample(user, "unship_dependency_healthy", labels, word == CONDITION_HEALTHY);
}

static void write_dependency_age(void *user, const char *name, unused_arg enum condition word, int64_t age_ms)
{
	const struct label labels[] = { { "dependency", name }, { 0 } };

	if (age_ms >= 0)
		series_write_sample(user, "unship_dependency_check_age_seconds", labels, (double)age_ms / 1000);
}

static void write_answers(void *user, const struct route *route, const struct route_numbers *numbers)
{
	static const char *const codes[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		const struct label labels[] = { { "method", route->method }, { "route", route->pattern }, { "code", codes[i] }, { 0 } };

		if (numbers->answers[i])
			series_write_sample(user, "unship_http_requests_total", labels, (double)numbers->answers[i]);
	}
}

/* Streams last as long as their clients like: that says nothing about the server. */
static void write_durations(void *user, const struct route *route, const struct route_numbers *numbers)
{
	const struct label labels[] = { { "method", route->method }, { "route", route->pattern }, { 0 } };
	uint64_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(numbers->buckets); i++)
		count += numbers->buckets[i];
	if (count > 0 && route->kind != ROUTE_STREAM)
		series_write_histogram(user, "unship_http_request_duration_seconds", labels, route_bucket_seconds, numbers->buckets,
			ROUTE_BUCKETS, (double)numbers->sum_us / 1e6);
}

/* Numbers 14 and 15 (ticks of user and system time), 22 (start, in ticks since boot), 23 (bytes) and 24 (resident pages) of proc(5) stat. */
static void write_proc_stat(FILE *out, const void *ctx)
{
	unsigned long long user_ticks, system_ticks, start_ticks, virtual_bytes;
	double ticks = (double)sysconf(_SC_CLK_TCK);
	struct timespec boot = { 0 }, wall = { 0 };
	struct err err = ERR_INIT;
	char *text, *after;
	long resident;

	if (fs_read(ctx, "/proc/self/stat", 4096, &text, NULL, &err) < 0)
		return;
	after = strrchr(text, ')'); /* the name of the program may hold anything */
	if (!after ||
		sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %llu %ld",
			&user_ticks, &system_ticks, &start_ticks, &virtual_bytes, &resident) != 5)
		return;
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	(void)clock_gettime(CLOCK_REALTIME, &wall);
	write_counter(out, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
		(double)(user_ticks + system_ticks) / ticks);
	write_gauge(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.", (double)virtual_bytes);
	write_gauge(out, "process_resident_memory_bytes", "Resident memory size in bytes.",
		(double)resident * (double)sysconf(_SC_PAGESIZE));
	write_gauge(out, "process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
		(double)wall.tv_sec - (double)boot.tv_sec + (double)start_ticks / ticks);
}

/* Linux tells their number as the size of the folder since 6.2; before, they are counted. */
static size_t open_fds(void)
{
	struct dirent *entry;
	struct stat status;
	size_t count = 0;
	DIR *folder;

	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
		return (size_t)status.st_size;
	folder = opendir("/proc/self/fd");
	if (!folder)
		return 0;
	while ((entry = readdir(folder)))
		count += entry->d_name[0] != '.';
	(void)closedir(folder);
	return count > 0 ? count - 1 : 0; /* less the folder's own */
}

static void write_process(FILE *out, const void *ctx)
{
	struct rlimit limit = { 0 };

	write_proc_stat(out, ctx);
	write_gauge(out, "process_open_fds", "Number of open file descriptors.", (double)open_fds());
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		write_gauge(out, "process_max_fds", "Maximum number of open file descriptors.", (double)limit.rlim_cur);
}

static void write_sink_health(void *user, const char *name, const struct sink_numbers *numbers)
{
	const struct label labels[] = { { "sink", name }, { 0 } };

	series_write_sample(user, "unship_sink_healthy", labels, numbers->healthy);
}

static void write_sink_position(void *user, const char *name, const struct sink_numbers *numbers)
{
	const struct label labels[] = { { "sink", name }, { 0 } };

	series_write_sample(user, "unship_sink_position", labels, (double)numbers->position);
}

static void write_sink_outcomes(void *user, const char *name, const struct sink_numbers *numbers)
{
	const struct {
		const char *outcome;
		uint64_t count;
	} outcomes[] = { { "delivered", numbers->delivered }, { "refused", numbers->refused }, { "failed", numbers->failed } };

	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
		const struct label labels[] = { { "sink", name }, { "outcome", outcomes[i].outcome }, { 0 } };

		series_write_sample(user, "unship_sink_entries_total", labels, (double)outcomes[i].count);
	}
}

static void write_sinks(FILE *out, struct server *server)
{
	series_write_family(out, "unship_sink_healthy", FAMILY_GAUGE, "Did the sink take what was last sent to it (1) or not (0)?");
	sinks_each(server, write_sink_health, out);
	series_write_family(out, "unship_sink_position", FAMILY_GAUGE,
		"Number of the journal entry up to which the sink needs nothing more.");
	sinks_each(server, write_sink_position, out);
	series_write_family(out, "unship_sink_entries_total", FAMILY_COUNTER,
		"Entries that were delivered, that the sink refused, and tries that failed.");
	sinks_each(server, write_sink_outcomes, out);
}

static void write_moment(FILE *out, const void *ctx, struct server *server)
{
	const struct label version[] = { { "version", UNSHIP_VERSION }, { 0 } };
	struct events_numbers events = events_numbers(server);

	series_write_family(out, "unship_build_info", FAMILY_GAUGE, "Always 1; the label tells the version.");
	series_write_sample(out, "unship_build_info", version, 1);
	write_gauge(out, "unship_journal_head", "Number of the newest journal entry that this process has seen.", (double)events.head);
	write_gauge(out, "unship_event_clients", "Event streams that are open.", (double)events.clients);
	write_counter(out, "unship_event_streams_total", "Event streams that were opened.", (double)events.opened);
	write_counter(out, "unship_event_loads_total", "Times that events had to be read from the store again for clients far behind.",
		(double)events.loads);
	write_gauge(out, "unship_event_memory_bytes", "Memory for events that all clients share.", (double)events.bytes);
	series_write_family(out, "unship_dependency_healthy", FAMILY_GAUGE, "Healthy (1) or not (0) when it was last checked.");
	health_each(server, write_dependency, out);
	series_write_family(out, "unship_dependency_check_age_seconds", FAMILY_GAUGE, "Time since it was last checked.");
	health_each(server, write_dependency_age, out);
	write_sinks(out, server);
	series_write_family(out, "unship_http_requests_total", FAMILY_COUNTER,
		"Exchanges that are over, by the class of their status; none: the client left before the answer.");
	server_each_route(server, write_answers, out);
	series_write_family(out, "unship_http_request_duration_seconds", FAMILY_HISTOGRAM,
		"Time from the head of a request to the end of its answer, event streams left out.");
	server_each_route(server, write_durations, out);
	write_gauge(out, "unship_http_connections", "Connections that are open.", (double)server_open_connections(server));
	write_process(out, ctx);
}

static bool may_see(void *user, const char *environment)
{
	return access_permits(user, PERMIT_VIEW, environment);
}

static int answer_metrics(struct exchange *x, struct err *err)
{
	struct metrics *metrics = service_state(x->server, &metrics_service);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return err_set(err, ERR_INTERNAL, "no memory for the metrics");
	write_moment(out, x->ctx, x->server);
	(void)pthread_mutex_lock(&metrics->mutex);
	series_write(metrics->set, out, may_see, (void *)x->principal);
	(void)pthread_mutex_unlock(&metrics->mutex);
	(void)fclose(out);
	exchange_add_header(x, "Cache-Control", "no-store");
	x->no_etag = true;
	exchange_answer_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", mem_strdup(x->ctx, text));
	return 0;
}

const struct route metrics_routes[] = {
	{ .method = "GET",
		.pattern = "/metrics",
		.kind = ROUTE_QUICK,
		.access = ACCESS_PERMITTED,
		.permission = PERMIT_VIEW,
		.handle = answer_metrics,
		.summary = "numbers for Prometheus" },
	{ 0 },
};
