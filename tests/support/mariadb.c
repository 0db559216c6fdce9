/* A MariaDB server for tests (mariadb.h). */
#include "mariadb.h"

#include "checks.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

#define START_MS   60000
#define SOCKET_MAX 100 /* what fits into a sockaddr_un, with some room */

static bool accepts(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static void make_data(struct mariadb_server *server, const char *data)
{
	const char *const argv[] = { "mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
		mem_printf(server, "--datadir=%s", data), mem_printf(server, "--tmpdir=%s", server->dir),
		geteuid() == 0 ? "--user=root" : NULL, NULL };
	struct proc_spec spec = { .argv = argv, .deadline_ms = clock_mono_ms() + START_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	assert_ok(proc_run_ok(server, &spec, &result, &error));
}

static void run_server(struct mariadb_server *server)
{
	const char *usual = "/usr/sbin/mariadbd"; /* which is not in everybody's PATH */
	int64_t until_ms = clock_mono_ms() + START_MS;
	struct err error = ERR_INIT;
	const char *const argv[] = { fs_exists(usual) ? usual : "mariadbd", "--no-defaults",
		mem_printf(server, "--datadir=%s", fs_join(server, server->dir, "data")), mem_printf(server, "--socket=%s", server->socket),
		mem_printf(server, "--tmpdir=%s", server->dir), /* a server that starts removes the temporary tables that are there */
		"--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--character-set-server=utf8mb4",
		server->port ? "--bind-address=127.0.0.1" : "--skip-networking", mem_printf(server, "--port=%d", server->port),
		geteuid() == 0 ? "--user=root" : NULL, NULL };
	struct proc_spec spec = { .argv = argv, .output_path = fs_join(server, server->dir, "log") };

	assert_ok(proc_start(&spec, &server->proc, &error));
	while (!accepts(server->socket)) {
		struct proc_result ended;

		if (proc_poll(&server->proc, &ended) || clock_mono_ms() > until_ms) {
			char *log;

			assert_ok(fs_read(server, spec.output_path, 1 << 20, &log, NULL, &error));
			fail_msg("mariadbd does not start: %s", log + strlen(log) - MIN(strlen(log), 600)); /* longer messages are cut */
		}
		clock_sleep_ms(5);
	}
}

struct mariadb_server *mariadb_server_start(const void *ctx)
{
	const char *top = getenv("TMPDIR");
	struct mariadb_server *server = mem_zero(ctx, struct mariadb_server);

	server->dir = mem_printf(server, "%s/unship-mariadb-XXXXXX", top && strlen(top) < SOCKET_MAX - 30 ? top : "/tmp");
	assert_non_null(mkdtemp(server->dir));
	server->socket = fs_join(server, server->dir, "s");
	make_data(server, fs_join(server, server->dir, "data"));
	run_server(server);
	return server;
}

void mariadb_server_listen(struct mariadb_server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	(void)close(fd);
	fd = -1;
	server->port = ntohs(address.sin_port);
	proc_close(&server->proc);
	run_server(server);
}

void mariadb_server_stop(struct mariadb_server *server)
{
	struct err error = ERR_INIT;

	proc_close(&server->proc);
	assert_ok(fs_remove_tree(server->dir, &error));
}

char *mariadb_say(struct mariadb_server *server, const char *statements)
{
	const char *const argv[] = { "mariadb", "--no-defaults", "--socket", server->socket, "--user", "root", "--batch",
		"--skip-column-names", "--raw", "--default-character-set=utf8mb4", NULL };
	struct proc_spec spec = { .argv = argv,
		.input = statements,
		.input_size = strlen(statements),
		.deadline_ms = clock_mono_ms() + START_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	assert_ok(proc_run_ok(server, &spec, &result, &error));
	return result.output;
}
