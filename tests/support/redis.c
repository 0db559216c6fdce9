/* A Redis server for tests (redis.h). */
#include "redis.h"

#include "checks.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"

#define START_MS   20000
#define SOCKET_MAX 100 /* what fits into a sockaddr_un, with some room */

static bool accepts(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

struct redis_server *redis_server_start(const void *ctx, const char *const *options)
{
	const char *top = getenv("TMPDIR"), *argv[32];
	struct redis_server *server = mem_zero(ctx, struct redis_server);
	struct proc_spec spec = { .argv = argv };
	int64_t until_ms = clock_mono_ms() + START_MS;
	struct err error = ERR_INIT;
	size_t count;

	server->dir = mem_printf(server, "%s/unship-redis-XXXXXX", top && strlen(top) < SOCKET_MAX - 30 ? top : "/tmp");
	assert_non_null(mkdtemp(server->dir));
	server->socket = fs_join(server, server->dir, "s");
	const char *const usual[] = { "redis-server", "--port", "0", "--unixsocket", server->socket, "--save", "", "--appendonly", "no",
		"--dir", server->dir, NULL };

	for (count = 0; usual[count]; count++)
		argv[count] = usual[count];
	for (; options && *options; options++)
		argv[count++] = *options;
	argv[count] = NULL;
	spec.output_path = fs_join(server, server->dir, "log");
	assert_ok(proc_start(&spec, &server->proc, &error));
	while (!accepts(server->socket)) {
		struct proc_result ended;

		if (proc_poll(&server->proc, &ended) || clock_mono_ms() > until_ms)
			fail_msg("redis-server does not start; see %s/log", server->dir);
		clock_sleep_ms(5);
	}
	return server;
}

void redis_server_stop(struct redis_server *server)
{
	struct err error = ERR_INIT;

	proc_close(&server->proc);
	assert_ok(fs_remove_tree(server->dir, &error));
}

char *redis_say(struct redis_server *server, const char *lines)
{
	const char *const argv[] = { "redis-cli", "-s", server->socket, NULL };
	struct proc_spec spec = { .argv = argv, .input = lines, .input_size = strlen(lines), .deadline_ms = clock_mono_ms() + START_MS };
	struct proc_result result;
	struct err error = ERR_INIT;

	assert_ok(proc_run_ok(server, &spec, &result, &error));
	if (strstr(result.output, "(error)") || text_starts_with(result.output, "ERR"))
		fail_msg("%s: %s", lines, result.output);
	return result.output;
}
