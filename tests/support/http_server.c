/* A small HTTP server for tests (http_server.h). One connection at a time; every wait also watches the wake pipe, so stopping never
 * hangs. */
#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

/* True when `fd` has something within timeout_ms (-1: without end); false at the time or when the server is to stop. */
static bool wait_for(struct http_server *server, int fd, int timeout_ms)
{
	struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = server->wake[0], .events = POLLIN } };

	if (poll(fds, 2, timeout_ms) <= 0 || fds[1].revents)
		return false;
	return fds[0].revents != 0;
}

static bool send_text(int fd, const char *text, size_t size)
{
	return send(fd, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void answer(int fd, int status, const char *headers, const char *body, size_t size)
{
	char head[512];

	snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", status, size, headers);
	if (send_text(fd, head, strlen(head)))
		(void)send_text(fd, body, size);
}

static bool read_request(struct http_server *server, int fd, char *text, size_t max)
{
	size_t size = 0, body = 0;
	const char *end, *length;

	for (;;) {
		ssize_t n;

		if (!wait_for(server, fd, 5000))
			return false;
		n = recv(fd, text + size, max - 1 - size, 0);
		if (n <= 0)
			return false;
		size += (size_t)n;
		text[size] = 0;
		if (text[0] == 0x16) /* a TLS handshake */
			return false;
		end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		length = strcasestr(text, "\r\nContent-Length:");
		body = length && length < end ? (size_t)strtoul(length + 17, NULL, 10) : 0;
		if (size >= (size_t)(end + 4 - text) + body)
			return true;
	}
}

static void serve(struct http_server *server, int fd)
{
	static const char big[65536];
	char text[sizeof(server->last)], path[256] = "";

	if (!read_request(server, fd, text, sizeof(text)))
		return;
	pthread_mutex_lock(&server->lock);
	memcpy(server->last, text, strlen(text) + 1);
	server->requests++;
	pthread_mutex_unlock(&server->lock);
	sscanf(text, "%*s %255s", path);

	if (strncmp(path, "/status/", 8) == 0) {
		answer(fd, atoi(path + 8), "Content-Type: text/plain\r\n", "status", 6);
	} else if (strncmp(path, "/echo", 5) == 0) {
		answer(fd, 200, "", text, strlen(text));
	} else if (strcmp(path, "/hang") == 0) {
		char c;

		while (wait_for(server, fd, -1) && recv(fd, &c, 1, 0) > 0)
			continue;
	} else if (strcmp(path, "/drip") == 0) {
		(void)send_text(fd, "HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n", 43);
		while (!wait_for(server, fd, 20) && send_text(fd, "x", 1) && !wait_for(server, server->wake[0], 0))
			continue;
	} else if (strcmp(path, "/huge") == 0) {
		(void)send_text(fd, "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n", 37);
		while (send_text(fd, big, sizeof(big)))
			continue;
	} else if (strcmp(path, "/huge-declared") == 0) {
		(void)send_text(fd, "HTTP/1.1 200 X\r\nContent-Length: 1099511627776\r\n\r\n", 49);
	} else if (strcmp(path, "/redirect") == 0) {
		answer(fd, 302, "Location: http://169.254.169.254/latest/meta-data/\r\n", "", 0);
	} else if (strcmp(path, "/garbage") == 0) {
		(void)send_text(fd, "SSH-2.0-OpenSSH_9.2\r\n\r\n", 23);
	} else if (strncmp(path, "/after/", 7) == 0) {
		(void)wait_for(server, server->wake[0], atoi(path + 7));
		answer(fd, 200, "", "late", 4);
	} else if (strcmp(path, "/close") != 0) {
		answer(fd, 200, "Content-Type: text/plain\r\n", "all is well", 11);
	}
}

static void *run(void *user)
{
	struct http_server *server = user;

	while (wait_for(server, server->listener, -1)) {
		_cleanup_close_ int fd = accept(server->listener, NULL, NULL);

		if (fd >= 0)
			serve(server, fd);
	}
	return NULL;
}

void http_server_start(struct http_server *server, const char *path)
{
	struct sockaddr_in ip = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(ip);
	int r;

	*server = (struct http_server){ .lock = PTHREAD_MUTEX_INITIALIZER };
	assert_always(pipe(server->wake) == 0);
	server->listener = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_always(server->listener >= 0);
	if (path) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
		r = bind(server->listener, (struct sockaddr *)&local, sizeof(local));
	} else {
		r = bind(server->listener, (struct sockaddr *)&ip, sizeof(ip));
	}
	assert_always(r == 0 && listen(server->listener, 16) == 0);
	if (!path) {
		assert_always(getsockname(server->listener, (struct sockaddr *)&ip, &length) == 0);
		server->port = ntohs(ip.sin_port);
	}
	assert_always(pthread_create(&server->thread, NULL, run, server) == 0);
}

void http_server_stop(struct http_server *server)
{
	assert_always(write(server->wake[1], "x", 1) == 1);
	pthread_join(server->thread, NULL);
	close(server->listener);
	close(server->wake[0]);
	close(server->wake[1]);
}

char *http_server_last(struct http_server *server, const void *ctx)
{
	char *copy;

	pthread_mutex_lock(&server->lock);
	copy = mem_strdup(ctx, server->last);
	pthread_mutex_unlock(&server->lock);
	return copy;
}

char *http_server_url(const struct http_server *server, const void *ctx, const char *path)
{
	return mem_printf(ctx, "http://127.0.0.1:%u%s", server->port, path);
}

unsigned closed_port(int *ret_fd)
{
	struct sockaddr_in ip = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(ip);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_always(fd >= 0 && bind(fd, (struct sockaddr *)&ip, sizeof(ip)) == 0);
	assert_always(getsockname(fd, (struct sockaddr *)&ip, &length) == 0);
	*ret_fd = fd;
	return ntohs(ip.sin_port);
}
