/* Life of the server (server.h). The main thread waits for signals and does what has its time: cutting late connections, answering those who waited long enough for a run.
 *
 * Signals: blocked in every thread and read from a descriptor by this one. Order of the start: project, listening address, store, services, connections; runs that nobody carries out are taken up when
 * answers are given already. Order of the stop: see stop_gracefully. */
#include "surface/http/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"
#include "ops/workspace.h"
#include "store/access.h"
#include "surface/http/follow.h"
#include "surface/http/inner.h"
#include "surface/http/library.h"
#include "surface/http/metrics.h"

#define QUEUE_MAX      256
#define TICK_MS        1000
#define FINISH_MS      10000 /* for answers in work */
#define LOOK_MS        5
#define STREAMS_MS     2000 /* for streams to say that they end */
#define LISTEN_DEFAULT "127.0.0.1:8321"

/* A transaction of this process, on the thread that made it. */
static void committed(void *user, int64_t took_us)
{
	struct server *server = user;

	if (server->follower)
		follower_wake(server->follower);
	metrics_commit(server, took_us);
}

int server_workspace(struct server *server, const void *ctx, struct workspace **ret, struct err *err)
{
	int r;

	r = workspace_open(ctx, server->dir, server->catalogue, ret, err);
	if (r == 0) {
		(*ret)->committed = committed;
		(*ret)->committed_user = server;
	}
	return r;
}

void server_wake(struct server *server)
{
	uint64_t one = 1;

	(void)!write(server->inner->wake_fd, &one, sizeof(one));
}

size_t server_open_connections(struct server *server)
{
	return connections_open(server->inner->connections);
}

/* systemd and its like: how the start and the stop go (sd_notify(3)). */
static void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;
	_cleanup_close_ int fd = -1;

	if (!length || length >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)(void *)&address,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

/* --- start --------------------------------------------------------------------------------------------------------- */

static int block_signals(int *ret_fd, struct err *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? err_errno(err, errno, "waiting for signals") : 0;
}

static int read_address(const struct server *server, const struct server_options *options, struct listen_address *ret, struct err *err)
{
	const char *text = options->listen ? options->listen : server->config->listen ? server->config->listen : LISTEN_DEFAULT;
	int r;

	r = listen_parse(text, ret, err);
	if (r < 0)
		return r;
	if (ret->loopback || server->config->certificate)
		return 0;
	err_set(err, ERR_REFUSED,
		"%s is not loopback, and without TLS everybody on the way could read and take the tokens: name server.certificate and server.key in the project file, or listen on 127.0.0.1 behind a proxy that has them",
		text);
	return err_advised(err);
}

static const char *url_of(const void *ctx, const struct server *server, const struct listen_address *address, uint16_t port)
{
	return mem_printf(ctx, "http%s://%s%s%s:%u", server->config->certificate ? "s" : "", address->v6 ? "[" : "", address->host,
		address->v6 ? "]" : "", port);
}

static int start_services(struct server *server, struct err *err)
{
	int r = 0;

	for (size_t i = 0; services[i] && r == 0; i++) {
		assert_always(i < ARRAY_SIZE(server->services));
		r = services[i]->start(server, &server->services[i], err);
		if (r < 0)
			err_in(err, "%s", services[i]->name);
	}
	return r;
}

static void stop_services(struct server *server)
{
	size_t count = 0;

	while (services[count])
		count++;
	while (count-- > 0)
		if (server->services[count])
			services[count]->stop(server, server->services[count]);
}

/* --- stop ---------------------------------------------------------------------------------------------------------- */

static void wait_until(struct server *server, size_t (*left)(struct connections *), int64_t until_ms)
{
	while (left(server->inner->connections) && clock_mono_ms() < until_ms)
		clock_sleep_ms(LOOK_MS);
}

/* 1. No new connections; streams say that they end; runs stop between two entries and let go of their claims, and who waits for one is told how it stands. 2. Answers in work are finished, for a limited
 * time; then what is carried out for them is told to stop. 3. Services, connections. False: something does not come to an end; nothing may be freed. */
static bool stop_gracefully(struct server *server)
{
	struct server_inner *inner = server->inner;
	int64_t until_ms = clock_mono_ms() + FINISH_MS;
	bool idle;

	atomic_store(&server->stopping, true);
	notify_manager("STOPPING=1");
	connections_quiesce(inner->connections);
	runs_interrupt(inner->runs);
	idle = pool_drain(inner->pool, until_ms);
	if (!idle) {
		atomic_store(&inner->hurried, true);
		idle = pool_drain(inner->pool, clock_mono_ms() + FINISH_MS);
	}
	wait_until(server, connections_busy, clock_mono_ms() + STREAMS_MS);
	wait_until(server, connections_streams, clock_mono_ms() + STREAMS_MS);
	if (!idle) {
		log_event(LOG_WARN, "answers that did not come to an end were left", NULL);
		return false;
	}
	runs_stop(inner->runs);
	stop_services(server);
	return true;
}

/* --- the main thread ----------------------------------------------------------------------------------------------- */

static void reload(struct server *server)
{
	struct err err = ERR_INIT;

	if (connections_reload(server->inner->connections, &err) < 0) {
		err_in(&err, "the certificate was not changed");
		log_err(LOG_ERROR, &err);
	} else {
		log_event(LOG_INFO, "certificate and key were read again", NULL);
	}
}

/* True: it is to stop. */
static bool take_signals(struct server *server, int fd)
{
	struct signalfd_siginfo signal;

	while (read(fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal)) {
		if (signal.ssi_signo != SIGHUP)
			return true;
		reload(server);
	}
	return false;
}

static void serve(struct server *server, int signal_fd)
{
	struct server_inner *inner = server->inner;

	for (;;) {
		struct pollfd fds[] = { { .fd = signal_fd, .events = POLLIN }, { .fd = inner->wake_fd, .events = POLLIN } };
		int64_t now_ms = clock_mono_ms(), next_ms = runs_tick(inner->runs, now_ms);
		uint64_t count;

		if (connections_tick(inner->connections, now_ms))
			next_ms = MIN(next_ms, now_ms + TICK_MS);
		(void)poll(fds, ARRAY_SIZE(fds), next_ms == INT64_MAX ? -1 : (int)MAX(next_ms - now_ms, 0));
		if (fds[1].revents)
			(void)!read(inner->wake_fd, &count, sizeof(count));
		if (fds[0].revents && take_signals(server, signal_fd))
			return;
	}
}

/* Where no terminal is, no token is made to begin with: the log says what to do instead. */
static int tell_unadministered(struct workspace *workspace, struct err *err)
{
	int64_t administrators = 0;
	int r;

	r = store_administrators(workspace->store, NULL, clock_wall_ms(), &administrators, err);
	if (r == 0 && !administrators)
		log_event(LOG_WARN, "nobody administers this server yet", "hint", SERVER_FIRST_ADMINISTRATOR, NULL);
	return r;
}

static void tell_unsealed(const struct server *server)
{
	if (!server->project->snapshots.key_count)
		log_event(LOG_WARN, "snapshots are not encrypted", "hint", "give them a key in snapshots.seal of the project file", NULL);
}

static int open_parts(struct server *server, const struct server_options *options, struct workspace *workspace, struct err *err)
{
	struct listen_address address;
	const char *token = NULL;
	uint16_t port;
	int r;

	r = read_address(server, options, &address, err);
	if (r == 0)
		r = workspace_store(workspace, err);
	if (r == 0)
		r = http_library_load(err);
	if (r < 0)
		return r;
	server->inner->router = router_new(server->inner, route_tables);
	server->inner->auth = auth_new(server->inner);
	server->inner->refusals = refusals_new(server->inner);
	server->inner->runs = runs_new(server);
	server->inner->openapi = openapi_new(server->inner);
	r = pool_start(server, (size_t)MAX(server->config->workers, 1), QUEUE_MAX, &server->inner->pool, err);
	if (r == 0)
		r = start_services(server, err);
	if (r == 0)
		r = connections_start(server, &address, &server->inner->connections, &port, err);
	if (r == 0)
		tell_unsealed(server);
	if (r == 0)
		r = options->terminal ? identity_bootstrap(workspace, server->inner, &token, err) : tell_unadministered(workspace, err);
	if (r < 0)
		return r;
	server->url = url_of(server->inner, server, &address, port);
	if (options->bound)
		options->bound(options->user, server->url, token);
	notify_manager("READY=1");
	return 0;
}

static int run(struct server *server, const struct server_options *options, struct err *err)
{
	_cleanup_close_ int signal_fd = -1;
	struct workspace *workspace;
	int r;

	r = block_signals(&signal_fd, err);
	if (r == 0)
		r = server_workspace(server, server->inner, &workspace, err);
	if (r == 0)
		r = workspace_project(workspace, err);
	if (r < 0)
		return r;
	server->dir = workspace->dir;
	server->project = workspace->project;
	server->config = &workspace->project->server;
	server->inner->hosts = workspace->project->server.hosts;
	r = open_parts(server, options, workspace, err);
	if (r == 0)
		r = runs_take_up(server->inner->runs, err);
	if (r == 0)
		serve(server, signal_fd);
	return r;
}

int server_run(const struct catalogue *catalogue, const struct server_options *options, struct err *err)
{
	struct server *server = mem_zero(NULL, struct server);
	struct server_inner *inner = mem_zero(server, struct server_inner);
	int r;

	server->catalogue = catalogue;
	server->dir = options->dir;
	server->started_ms = clock_wall_ms();
	server->inner = inner;
	inner->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = run(server, options, err);
	if (inner->connections && !stop_gracefully(server))
		return r;
	if (inner->connections) {
		connections_stop(inner->connections);
	} else if (inner->runs) {
		stop_services(server);
		runs_stop(inner->runs);
	}
	if (inner->pool)
		pool_stop(inner->pool);
	if (inner->auth)
		auth_forget(server, NULL);
	(void)close(inner->wake_fd);
	talloc_free(server);
	return r;
}
