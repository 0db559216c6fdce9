/* A PostgreSQL server for tests (postgres.h). */
#include "postgres.h"

#include "checks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

#define SOCKET_PORT 5432
#define START_MS    60000
#define SOCKET_MAX  100 /* what fits into a sockaddr_un, with some room */

static const char **with_user(const void *ctx, const char *const *argv)
{
	const struct passwd *user = getpwnam("postgres") ? getpwnam("postgres") : getpwnam("nobody");
	const char **all = mem_array(ctx, const char *, 32);
	size_t count = 0;

	if (geteuid() == 0) {
		assert_non_null(user);
		all[count++] = "setpriv";
		all[count++] = mem_printf(ctx, "--reuid=%u", user->pw_uid);
		all[count++] = mem_printf(ctx, "--regid=%u", user->pw_gid);
		all[count++] = "--clear-groups";
		all[count++] = "--pdeathsig=INT";
	}
	while (*argv)
		all[count++] = *argv++;
	return all;
}

static void give_away(const char *path)
{
	const struct passwd *user = getpwnam("postgres") ? getpwnam("postgres") : getpwnam("nobody");

	assert_int_equal(chmod(path, 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, user->pw_uid, user->pw_gid), 0);
}

static void run(struct postgres_server *server, const char *const *argv)
{
	struct proc_spec spec = { .argv = argv, .dir = server->dir, .deadline_ms = clock_mono_ms() + START_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	assert_ok(proc_run_ok(server, &spec, &result, &error));
}

static void make_data(struct postgres_server *server)
{
	const char *words = fs_join(server, server->dir, "words");
	struct err error = ERR_INIT;

	assert_ok(fs_write_atomic(words, POSTGRES_PASSWORD "\n", strlen(POSTGRES_PASSWORD) + 1, 0644, &error));
	run(server,
		with_user(server,
			(const char *const[]){ fs_join(server, server->bin, "initdb"), "--pgdata", fs_join(server, server->dir, "data"),
				"--username=postgres", "--auth=scram-sha-256", "--pwfile", words, "--encoding=UTF8", "--locale=C.UTF-8",
				"--no-sync", "--no-instructions", NULL }));
}

static bool is_ready(struct postgres_server *server)
{
	const char *const argv[] = { fs_join(server, server->bin, "pg_isready"), "--quiet", "--host", server->dir, "--port",
		mem_printf(server, "%d", server->port), NULL };
	struct proc_spec spec = { .argv = argv, .deadline_ms = clock_mono_ms() + START_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	assert_ok(proc_run(server, &spec, &result, &error));
	return result.exit_code == 0;
}

void postgres_server_again(struct postgres_server *server)
{
	const char *const argv[] = { fs_join(server, server->bin, "postgres"), "-D", fs_join(server, server->dir, "data"), "-k",
		server->dir, "-c", server->port == SOCKET_PORT ? "listen_addresses=" : "listen_addresses=127.0.0.1", "-c",
		mem_printf(server, "port=%d", server->port), "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "wal_level=minimal",
		"-c", "max_wal_senders=0", "-c", "max_connections=30", "-c", "shared_buffers=16MB", "-c", "autovacuum=off", NULL };
	struct proc_spec spec = { .argv = with_user(server, argv), .dir = server->dir, .output_path = fs_join(server, server->dir, "log") };
	int64_t until_ms = clock_mono_ms() + START_MS;
	struct err error = ERR_INIT;

	assert_ok(proc_start(&spec, &server->proc, &error));
	while (!is_ready(server)) {
		struct proc_result ended;

		if (proc_poll(&server->proc, &ended) || clock_mono_ms() > until_ms)
			fail_msg("postgres does not start; see %s/log", server->dir);
		clock_sleep_ms(5);
	}
}

struct postgres_server *postgres_server_start(const void *ctx)
{
	struct postgres_server *server = mem_zero(ctx, struct postgres_server);
	const char *top = getenv("TMPDIR"), *const argv[] = { "pg_config", "--bindir", NULL };
	struct proc_spec spec = { .argv = argv, .deadline_ms = clock_mono_ms() + START_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	server->dir = mem_printf(server, "%s/unship-postgres-XXXXXX", top && strlen(top) < SOCKET_MAX - 50 ? top : "/tmp");
	assert_non_null(mkdtemp(server->dir));
	give_away(server->dir);
	assert_ok(proc_run_ok(server, &spec, &result, &error));
	server->bin = mem_strndup(server, result.output, strcspn(result.output, "\n"));
	make_data(server);
	server->port = SOCKET_PORT;
	postgres_server_again(server);
	return server;
}

/* SIGQUIT: it ends its own children and leaves everything as a crash would. */
void postgres_server_kill(struct postgres_server *server)
{
	struct proc_result ended;
	int64_t until_ms = clock_mono_ms() + START_MS;

	assert_int_equal(kill(server->proc.pid, SIGQUIT), 0);
	while (!proc_poll(&server->proc, &ended)) {
		assert_true(clock_mono_ms() < until_ms);
		clock_sleep_ms(5);
	}
	proc_close(&server->proc);
}

void postgres_server_listen(struct postgres_server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	(void)close(fd);
	fd = -1;
	postgres_server_kill(server);
	server->port = ntohs(address.sin_port);
	postgres_server_again(server);
}

void postgres_server_stop(struct postgres_server *server)
{
	struct err error = ERR_INIT;

	postgres_server_kill(server);
	assert_ok(fs_remove_tree(server->dir, &error));
}

char *postgres_say(struct postgres_server *server, const char *database, const char *statements)
{
	const char *const argv[] = { fs_join(server, server->bin, "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
		"--set=ON_ERROR_STOP=1", NULL };
	const char *const env[] = { mem_printf(server, "PATH=%s", getenv("PATH")), "HOME=/nonexistent",
		mem_printf(server, "PGHOST=%s", server->dir), mem_printf(server, "PGPORT=%d", server->port), "PGUSER=postgres",
		mem_printf(server, "PGPASSWORD=%s", POSTGRES_PASSWORD), mem_printf(server, "PGDATABASE=%s", database),
		"PGOPTIONS=-c client_min_messages=warning", NULL };
	struct proc_spec spec = { .argv = argv,
		.env = env,
		.input = statements,
		.input_size = strlen(statements),
		.deadline_ms = clock_mono_ms() + START_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	assert_ok(proc_run_ok(server, &spec, &result, &error));
	return result.output;
}
