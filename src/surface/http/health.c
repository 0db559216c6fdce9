/* Health: checks run beside the requests, answers tell the last that is known and how old it is.
 *
 * Two threads: one reads the store (its newest entry, and which deployment each environment has) every STORE_EVERY_MS and when the journal says that a deployment changed; the other has the dependencies of
 * the configuration checked, each at its own pace, each by a probe in a process of its own with its time limit. So a dependency that hangs costs its own check only, and a disk that hangs stops the
 * first thread, which is noticed by the age of what it found.
 *
 * What was found stands in one table under a mutex that is held for moments only. */
#include "surface/http/health.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "data/json.h"
#include "surface/http/follow.h"

#define STORE_EVERY_MS 2000
#define STORE_STALE_MS 10000 /* a store that has not answered for so long is unhealthy */
#define RETRY_MS       5000  /* when a check could not even be started */

#define API      0
#define DATABASE 1
#define FIRST    2 /* of the dependencies */

struct check {
	const char *name;
	const struct probe_config *probe; /* NULL: the server itself, the store */
	enum condition word;
	int64_t looked_ms; /* monotonic; 0: not yet */
	/* The dependencies' thread: */
	int64_t due_ms;
	bool running;
};

struct checkup {
	struct server *server;
	pthread_t store_thread, probe_thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed; /* the store's thread: look now, or stop */
	struct workspace *store_workspace, *probe_workspace;
	bool look, stopping;
	struct check *checks;
	size_t count;
	size_t own_database; /* index of a dependency that is named "database" too; 0: none */
	char **deployments;  /* of each environment, as in the project */
};

const char *condition_name(enum condition word)
{
	static const char *const words[] = { "unknown", "healthy", "unhealthy" };

	return words[word];
}

/* --- the store ------------------------------------------------------------------------------------------------------------------------------------------- */

static void found(struct checkup *checkup, size_t index, enum condition word, const char *why)
{
	struct check *check = &checkup->checks[index];
	enum condition before;

	(void)pthread_mutex_lock(&checkup->mutex);
	before = check->word;
	check->word = word;
	check->looked_ms = clock_mono_ms();
	(void)pthread_mutex_unlock(&checkup->mutex);
	if (before != word && (before != CONDITION_UNKNOWN || word == CONDITION_UNHEALTHY))
		log_event(word == CONDITION_HEALTHY ? LOG_INFO : LOG_WARN, "health of a dependency changed", "name", check->name, "health",
			condition_name(word), "message", why, NULL);
}

static int look_at_deployments(struct checkup *checkup, const void *ctx, struct err *err)
{
	const struct project *project = checkup->server->project;

	for (size_t i = 0; i < project->environment_count; i++) {
		struct deployment present = { 0 };
		struct err why = ERR_INIT;
		char *id, *former;
		int r;

		r = store_present(checkup->store_workspace->store, ctx, project->environments[i].name, &present, &why);
		if (r < 0 && r != -ERR_NOT_FOUND) {
			*err = why;
			return r;
		}
		id = mem_strdup(checkup, r == 0 ? present.id : "");
		(void)pthread_mutex_lock(&checkup->mutex);
		former = checkup->deployments[i];
		checkup->deployments[i] = id;
		(void)pthread_mutex_unlock(&checkup->mutex);
		(void)talloc_free(former);
	}
	return 0;
}

static void look_at_store(struct checkup *checkup)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct err err = ERR_INIT;
	int64_t head;
	int r;

	r = store_head(checkup->store_workspace->store, &head, &err);
	if (r == 0)
		r = look_at_deployments(checkup, ctx, &err);
	found(checkup, DATABASE, r < 0 ? CONDITION_UNHEALTHY : CONDITION_HEALTHY, r < 0 ? err.text : NULL);
}

static void *store_main(void *user)
{
	struct checkup *checkup = user;

	(void)pthread_mutex_lock(&checkup->mutex);
	while (!checkup->stopping) {
		int64_t until_ms = clock_mono_ms() + STORE_EVERY_MS;
		struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000 };

		while (!checkup->stopping && !checkup->look && pthread_cond_timedwait(&checkup->changed, &checkup->mutex, &until) == 0)
			;
		checkup->look = false;
		if (checkup->stopping)
			break;
		(void)pthread_mutex_unlock(&checkup->mutex);
		look_at_store(checkup);
		(void)pthread_mutex_lock(&checkup->mutex);
	}
	(void)pthread_mutex_unlock(&checkup->mutex);
	return NULL;
}

/* On the follower's thread. */
static void entries_added(void *user, const struct entry *entries, size_t count)
{
	struct checkup *checkup = user;
	bool look = false;

	for (size_t i = 0; i < count && !look; i++)
		look = !strncmp(entries[i].kind, "deployment.", strlen("deployment.")) || !strcmp(entries[i].kind, ENTRY_RUN_ENDED);
	if (!look)
		return;
	(void)pthread_mutex_lock(&checkup->mutex);
	checkup->look = true;
	(void)pthread_cond_signal(&checkup->changed);
	(void)pthread_mutex_unlock(&checkup->mutex);
}

/* --- dependencies ---------------------------------------------------------------------------------------------------------------------------------------- */

static bool is_stopping(struct checkup *checkup)
{
	bool stopping;

	(void)pthread_mutex_lock(&checkup->mutex);
	stopping = checkup->stopping;
	(void)pthread_mutex_unlock(&checkup->mutex);
	return stopping;
}

static void begin_check(struct checkup *checkup, const void *ctx, size_t index)
{
	/* A dependency belongs to the server, not to an environment of the project. */
	static const struct environment server = { .name = "server" };
	struct check *check = &checkup->checks[index];
	struct executor *executor = checkup->probe_workspace->executor;
	int64_t now_ms = clock_mono_ms();
	struct err err = ERR_INIT;
	struct work work;
	int r;

	r = call_probe(ctx, &server, check->probe, NULL, &checkup->probe_workspace->places, now_ms, now_ms + check->probe->timeout_ms,
		&work, &err);
	if (r == 0) {
		work.id = index;
		r = executor->ops->start(executor, &work, &err);
	}
	if (r < 0)
		found(checkup, index, CONDITION_UNHEALTHY, err.text);
	check->running = r == 0;
	check->due_ms = r < 0 ? now_ms + RETRY_MS : now_ms + check->probe->every_ms;
}

static void end_check(struct checkup *checkup, const struct work_result *result)
{
	const char *status = json_str(result->result, "status", "fail");
	bool passed = !strcmp(status, "pass") || !strcmp(status, "warn");

	checkup->checks[result->id].running = false;
	found(checkup, result->id, passed ? CONDITION_HEALTHY : CONDITION_UNHEALTHY,
		result->result ? json_str(result->result, "message", NULL) : result->err.text);
}

static void *probe_main(void *user)
{
	struct checkup *checkup = user;
	struct executor *executor = checkup->probe_workspace->executor;

	while (!is_stopping(checkup)) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		int64_t next_ms = INT64_MAX;
		struct work_result result;
		struct err err = ERR_INIT;
		int r;

		for (size_t i = FIRST; i < checkup->count; i++) {
			if (!checkup->checks[i].running && checkup->checks[i].due_ms <= clock_mono_ms())
				begin_check(checkup, ctx, i);
			if (!checkup->checks[i].running)
				next_ms = MIN(next_ms, checkup->checks[i].due_ms);
		}
		r = executor->ops->wait(executor, ctx, next_ms, &result, &err);
		if (r < 0) {
			log_err(LOG_ERROR, &err);
			return NULL; /* what was found last grows old, and says so */
		}
		if (r > 0)
			end_check(checkup, &result);
	}
	return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------------------------------------------------------ */

static void make_checks(struct checkup *checkup)
{
	const struct server_config *config = checkup->server->config;

	checkup->count = FIRST + config->dependency_count;
	checkup->checks = mem_array(checkup, struct check, checkup->count);
	checkup->checks[API].name = "api";
	checkup->checks[DATABASE].name = "database";
	for (size_t i = 0; i < config->dependency_count; i++) {
		checkup->checks[FIRST + i].name = config->dependencies[i].name;
		checkup->checks[FIRST + i].probe = &config->dependencies[i];
		if (!strcmp(config->dependencies[i].name, "database"))
			checkup->own_database = FIRST + i;
	}
	checkup->deployments = mem_array(checkup, char *, checkup->server->project->environment_count + 1);
	for (size_t i = 0; i < checkup->server->project->environment_count; i++)
		checkup->deployments[i] = mem_strdup(checkup, "");
}

static int health_free(struct checkup *checkup)
{
	(void)pthread_cond_destroy(&checkup->changed);
	(void)pthread_mutex_destroy(&checkup->mutex);
	return 0;
}

static void stop_threads(struct checkup *checkup, bool probes)
{
	(void)pthread_mutex_lock(&checkup->mutex);
	checkup->stopping = true;
	(void)pthread_cond_signal(&checkup->changed);
	(void)pthread_mutex_unlock(&checkup->mutex);
	process_executor_wake(checkup->probe_workspace->executor);
	(void)pthread_join(checkup->store_thread, NULL);
	if (probes)
		(void)pthread_join(checkup->probe_thread, NULL);
}

static int health_start(struct server *server, void **ret_state, struct err *err)
{
	struct checkup *checkup = mem_zero(NULL, struct checkup);
	pthread_condattr_t attributes;
	int64_t head;
	int r;

	checkup->server = server;
	(void)pthread_mutex_init(&checkup->mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&checkup->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	talloc_set_destructor(checkup, health_free);
	make_checks(checkup);
	r = server_workspace(server, checkup, &checkup->store_workspace, err);
	if (r == 0)
		r = workspace_store(checkup->store_workspace, err);
	if (r == 0)
		r = server_workspace(server, checkup, &checkup->probe_workspace, err);
	if (r < 0) {
		(void)talloc_free(checkup);
		return err_in(err, "health");
	}
	look_at_store(checkup); /* the first answer knows it */
	r = pthread_create(&checkup->store_thread, NULL, store_main, checkup);
	if (r == 0) {
		r = checkup->count > FIRST ? pthread_create(&checkup->probe_thread, NULL, probe_main, checkup) : 0;
		if (r != 0)
			stop_threads(checkup, false);
	}
	if (r != 0) {
		r = err_errno(err, r, "health: a thread");
		(void)talloc_free(checkup);
		return r;
	}
	follower_subscribe(server->follower, entries_added, checkup, &head);
	*ret_state = checkup;
	return 0;
}

static void health_stop(struct server *server, void *state)
{
	struct checkup *checkup = state;

	follower_unsubscribe(server->follower, entries_added, checkup);
	stop_threads(checkup, checkup->count > FIRST);
	(void)talloc_free(checkup);
}

const struct service health_service = { .name = "health", .start = health_start, .stop = health_stop };

/* --- answers --------------------------------------------------------------------------------------------------------------------------------------------- */

/* Mutex held. A store that stopped answering is not healthy because it once was. */
static enum condition word_of(const struct checkup *checkup, size_t index, int64_t now_ms)
{
	const struct check *check = &checkup->checks[index];

	if (index == API)
		return atomic_load(&checkup->server->stopping) ? CONDITION_UNHEALTHY : CONDITION_HEALTHY;
	if (index == DATABASE && check->looked_ms && now_ms - check->looked_ms > STORE_STALE_MS)
		return CONDITION_UNHEALTHY;
	if (index == DATABASE && checkup->own_database && check->word == CONDITION_HEALTHY)
		return checkup->checks[checkup->own_database].word;
	return check->word;
}

void health_each(struct server *server, void (*each)(void *user, const char *name, enum condition word, int64_t age_ms), void *user)
{
	struct checkup *checkup = service_state(server, &health_service);
	int64_t now_ms = clock_mono_ms();

	(void)pthread_mutex_lock(&checkup->mutex);
	for (size_t i = 0; i < checkup->count; i++) {
		const struct check *check = &checkup->checks[i];

		if (i == 0 || i != checkup->own_database)
			each(user, check->name, word_of(checkup, i, now_ms),
				i == API                   ? 0
					: check->looked_ms ? now_ms - check->looked_ms
							   : -1);
	}
	(void)pthread_mutex_unlock(&checkup->mutex);
}

struct answer {
	json_t *words;
	char *ages; /* a structured field (RFC 8941): database=1, redis=12 */
	bool all_healthy;
};

static void add_to_answer(void *user, const char *name, enum condition word, int64_t age_ms)
{
	struct answer *answer = user;

	json_put_str(answer->words, name, condition_name(word));
	answer->all_healthy = answer->all_healthy && word == CONDITION_HEALTHY;
	if (age_ms >= 0)
		answer->ages = mem_appendf(answer->ages, "%s%s=%lld", *answer->ages ? ", " : "", name, (long long)age_ms / 1000);
}

static int present_deployment(struct exchange *x, const char **ret, struct err *err)
{
	struct checkup *checkup = service_state(x->server, &health_service);
	const struct project *project = x->server->project;
	const char *name = exchange_query(x, "environment");
	struct environment *environment = project->environment_count ? &project->environments[0] : NULL;
	int r;

	if (name) {
		r = project_find_environment(project, name, &environment, err);
		if (r < 0)
			return r;
	}
	(void)pthread_mutex_lock(&checkup->mutex);
	*ret = environment ? mem_strdup(x->ctx, checkup->deployments[environment - project->environments]) : "";
	(void)pthread_mutex_unlock(&checkup->mutex);
	return 0;
}

static int answer_health(struct exchange *x, struct err *err)
{
	struct answer answer = { .words = json_keep(x->ctx, json_object()), .ages = mem_strdup(x->ctx, ""), .all_healthy = true };
	const char *deployment;
	int r;

	r = present_deployment(x, &deployment, err);
	if (r < 0)
		return r;
	health_each(x->server, add_to_answer, &answer);
	json_put_str(answer.words, "timestamp", clock_format(x->ctx, clock_wall_ms()));
	json_put_str(answer.words, "deployment_id", deployment);
	exchange_add_header(x, "Cache-Control", "no-store");
	exchange_add_header(x, "Health-Age", answer.ages);
	x->no_etag = true;
	exchange_answer_json(x, answer.all_healthy ? 200 : 503, answer.words);
	return 0;
}

/* The lines of the verbose form; what is not ready stands in `missing`. */
struct readiness {
	char *lines;
	bool ready;
};

static void add_readiness(void *user, const char *name, enum condition word, unused_arg int64_t age_ms)
{
	struct readiness *readiness = user;
	bool own = !strcmp(name, "api") || !strcmp(name, "database"), ok = word == CONDITION_HEALTHY;

	readiness->lines = mem_appendf(readiness->lines, "[%s] %s %s%s\n", ok ? "+" : "-", name, condition_name(word),
		own ? "" : " (not needed to be ready)");
	readiness->ready = readiness->ready && (ok || !own);
}

/* Ready: can take requests. The store is needed for that; other dependencies are not, their failing is no reason to take this server away from those who want to roll back. */
static int answer_ready(struct exchange *x, unused_arg struct err *err)
{
	struct readiness readiness = { .lines = mem_strdup(x->ctx, ""), .ready = true };

	health_each(x->server, add_readiness, &readiness);
	readiness.lines = mem_append(readiness.lines, readiness.ready ? "ready\n" : "not ready\n");
	exchange_add_header(x, "Cache-Control", "no-store");
	x->no_etag = true;
	exchange_answer_text(x, readiness.ready ? 200 : 503, "text/plain; charset=utf-8",
		exchange_query(x, "verbose") ? readiness.lines
			: readiness.ready    ? "ready\n"
					     : "not ready\n");
	return 0;
}

/* Alive: it answers. Nothing outside makes it dead, because a restart would mend nothing then. */
static int answer_alive(struct exchange *x, unused_arg struct err *err)
{
	const char *text = "alive\n";

	if (exchange_query(x, "verbose"))
		text = mem_printf(x->ctx, "[+] unship %s\n[+] up for %lld s\nalive\n", UNSHIP_VERSION,
			(long long)(clock_wall_ms() - x->server->started_ms) / 1000);
	exchange_add_header(x, "Cache-Control", "no-store");
	x->no_etag = true;
	exchange_answer_text(x, 200, "text/plain; charset=utf-8", text);
	return 0;
}

struct health_query {
	const char *environment;
};
static const struct field health_fields[] = { FIELD_NAME(struct health_query, environment, OPTIONAL,
						      "whose present deployment is told; the first of the project file when not given"),
	FIELD_END };

#define OPEN(path, handler, words, ...) \
	{ \
		.method = "GET", .pattern = (path), .kind = ROUTE_QUICK, .access = ACCESS_PUBLIC, .handle = (handler), .summary = (words), \
		##__VA_ARGS__ \
	}

const struct route health_routes[] = {
	OPEN("/api/health", answer_health, "health of the server and its dependencies, and the present deployment",
		.fields = health_fields),
	OPEN("/livez", answer_alive, "does the process answer?"),
	OPEN("/healthz", answer_alive, NULL),
	OPEN("/readyz", answer_ready, "can it take requests?"),
	{ 0 },
};
