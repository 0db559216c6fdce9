/* How event streams do with many clients: what one event to all takes, what a client costs, whether anything is missed when all come back at once.
 *
 *   bench_events fan   HOST PORT TOKENFILE CLIENTS ROUNDS COMMAND...   opens the streams; per round runs COMMAND, which appends, and waits until every client has an event
 *   bench_events storm HOST PORT TOKENFILE CLIENTS HEAD   COMMAND...   opens streams from random entries up to HEAD, cuts all, opens them again from where each was, while COMMAND appends
 *   bench_events serve PORT                                            the peer: an epoll loop that accepts clients and sends each line of its standard input to all of them, as an event
 *
 * fan and storm print one line of JSON. The time of a round is from the event's own time (member "at" of its data) to its arrival at the last client, both on this machine's clock.
 * A client checks that ids follow on each other without gap and without repetition, from the one that it resumed from. Also works against any server that sends such events. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_KEPT 160
#define PATIENCE_MS   60000

enum chunk { CHUNK_HEAD, CHUNK_SIZE, CHUNK_DATA, CHUNK_END };
struct client {
	int fd;
	enum chunk chunk;
	bool chunked;
	size_t left;       /* of the chunk */
	unsigned newlines; /* in a row, in the head */
	char line[LINE_MAX_KEPT];
	size_t length;    /* of the line so far, more than is kept of it perhaps */
	int64_t id, last; /* of the event that comes in, of the last whole one */
	bool data;
	int64_t events; /* since the round began */
};

static struct sockaddr_in address;
static char token[512], host[64];
static struct client *clients;
static size_t client_count, broken, waiting;
static int poller;
static int64_t last_at_ms, faults, reached;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "at":"2026-11-21T04:53:33.120Z" in the data of an event. */
static int64_t parse_at(const char *line)
{
	const char *at = strstr(line, "\"at\":\"");
	struct tm time = { 0 };
	int ms = 0;

	if (!at ||
		sscanf(at + 6, "%d-%d-%dT%d:%d:%d.%dZ", &time.tm_year, &time.tm_mon, &time.tm_mday, &time.tm_hour, &time.tm_min,
			&time.tm_sec, &ms) != 7)
		return 0;
	time.tm_year -= 1900;
	time.tm_mon -= 1;
	return (int64_t)timegm(&time) * 1000 + ms;
}

static void line_over(struct client *client)
{
	client->line[client->length < LINE_MAX_KEPT ? client->length : LINE_MAX_KEPT - 1] = '\0';
	if (client->length == 0 && client->data) {
		if (client->last >= 0 && client->id != client->last + 1) {
			faults++;
			fprintf(stderr, "entry %" PRId64 " came after %" PRId64 "\n", client->id, client->last);
		}
		client->last = client->id;
		if (client->events++ == 0 && waiting > 0)
			waiting--;
		reached = client->last > reached ? client->last : reached;
		client->data = false;
	} else if (client->length == 0) {
		if (client->last < 0)
			client->last = client->id;
	} else if (!strncmp(client->line, "id: ", 4)) {
		client->id = strtoll(client->line + 4, NULL, 10);
	} else if (!strncmp(client->line, "data: ", 6)) {
		client->data = true;
		last_at_ms = parse_at(client->line);
	}
	client->length = 0;
}

static void take(struct client *client, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n') {
			line_over(client);
			continue;
		}
		if (client->length < LINE_MAX_KEPT - 1)
			client->line[client->length] = bytes[i];
		client->length++;
	}
}

static void head_line_over(struct client *client)
{
	client->line[client->length] = '\0';
	if (!strncmp(client->line, "HTTP/1.1 ", 9) && strncmp(client->line + 9, "200", 3) != 0) {
		fprintf(stderr, "%s\n", client->line);
		exit(1);
	}
	client->chunked |= !strcasecmp(client->line, "Transfer-Encoding: chunked");
	if (client->length == 0)
		client->chunk = client->chunked ? CHUNK_SIZE : CHUNK_DATA;
	client->left = client->chunked ? 0 : SIZE_MAX;
	client->length = 0;
}

static void feed_head(struct client *client, char byte)
{
	if (byte == '\n')
		head_line_over(client);
	else if (client->length < LINE_MAX_KEPT - 1 && byte != '\r')
		client->line[client->length++] = byte;
}

static void feed_size(struct client *client, char byte)
{
	if (byte == '\n')
		client->chunk = CHUNK_DATA;
	else if (byte != '\r')
		client->left = client->left * 16 + (size_t)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
}

static size_t feed_data(struct client *client, const char *bytes, size_t size)
{
	size_t part = size < client->left ? size : client->left;

	take(client, bytes, part);
	if (client->left != SIZE_MAX)
		client->left -= part;
	if (client->left == 0)
		client->chunk = CHUNK_END;
	return part;
}

/* Head, then chunks (RFC 9112 section 7.1) or the plain body. */
static void feed(struct client *client, const char *bytes, size_t size)
{
	while (size > 0) {
		size_t part = 1;

		if (client->chunk == CHUNK_HEAD)
			feed_head(client, *bytes);
		else if (client->chunk == CHUNK_SIZE)
			feed_size(client, *bytes);
		else if (client->chunk == CHUNK_DATA)
			part = feed_data(client, bytes, size);
		else if (*bytes == '\n')
			client->chunk = CHUNK_SIZE;
		bytes += part;
		size -= part;
	}
}

static void open_client(struct client *client, int64_t from)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
	char request[1024], resume[64] = "";
	int size;

	*client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .last = from, .id = from };
	if (client->fd < 0)
		fail("socket");
	while (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		if (errno != EINTR && errno != EAGAIN)
			fail("connect");
	if (from >= 0)
		snprintf(resume, sizeof(resume), "Last-Event-ID: %" PRId64 "\r\n", from);
	size = snprintf(request, sizeof(request), "GET /api/v1/events HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\n%s\r\n", host,
		ntohs(address.sin_port), token, resume);
	if (write(client->fd, request, (size_t)size) != size)
		fail("write");
	fcntl(client->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &event) < 0)
		fail("epoll_ctl");
}

static void turn(int timeout_ms)
{
	static char bytes[65536];
	struct epoll_event events[512];
	int count = epoll_wait(poller, events, 512, timeout_ms);

	for (int i = 0; i < count; i++) {
		struct client *client = events[i].data.ptr;
		ssize_t size = read(client->fd, bytes, sizeof(bytes));

		if (size > 0) {
			feed(client, bytes, (size_t)size);
		} else if (size == 0 || errno != EAGAIN) {
			broken++;
			epoll_ctl(poller, EPOLL_CTL_DEL, client->fd, NULL);
		}
	}
}

/* Until every client has said something (its first lines), so that it is really there. */
static void settle(void)
{
	int64_t until = wall_ms() + PATIENCE_MS;
	size_t ready = 0;

	while (ready < client_count && wall_ms() < until) {
		turn(20);
		ready = 0;
		for (size_t i = 0; i < client_count; i++)
			ready += clients[i].chunk != CHUNK_HEAD && clients[i].last >= 0;
	}
	if (ready < client_count) {
		fprintf(stderr, "only %zu of %zu clients have begun\n", ready, client_count);
		exit(1);
	}
}

static pid_t run(char **command)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		execvp(command[0], command);
		_exit(127);
	}
	return pid;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void fan(int rounds, char **command)
{
	int64_t *took = calloc((size_t)rounds, sizeof(*took));

	for (size_t i = 0; i < client_count; i++) {
		open_client(&clients[i], -1);
		if (i % 64 == 0)
			turn(0);
	}
	settle();
	for (int round = 0; round < rounds; round++) {
		int64_t until = wall_ms() + PATIENCE_MS;
		pid_t pid;

		waiting = client_count;
		for (size_t i = 0; i < client_count; i++)
			clients[i].events = 0;
		pid = run(command);
		while (waiting > 0 && wall_ms() < until)
			turn(100);
		took[round] = wall_ms() - last_at_ms;
		if (waiting > 0) {
			fprintf(stderr, "%zu clients got nothing\n", waiting);
			exit(1);
		}
		waitpid(pid, NULL, 0);
		turn(200);
	}
	qsort(took, (size_t)rounds, sizeof(*took), compare);
	printf("{\"clients\": %zu, \"rounds\": %d, \"medianMs\": %" PRId64 ", \"worstMs\": %" PRId64 ", \"faults\": %" PRId64
	       ", \"broken\": %zu}\n",
		client_count, rounds, took[rounds / 2], took[rounds - 1], faults, broken);
	fflush(stdout);
	free(took);
}

static bool all_at(int64_t head)
{
	for (size_t i = 0; i < client_count; i++)
		if (clients[i].last < head)
			return false;
	return true;
}

static void storm(int64_t head, char **command)
{
	int64_t begun, until = wall_ms() + PATIENCE_MS;
	bool over = false;
	pid_t pid;

	srand(1);
	for (size_t i = 0; i < client_count; i++)
		open_client(&clients[i], rand() % (head + 1));
	pid = run(command);
	for (int i = 0; i < 50; i++)
		turn(20);
	begun = wall_ms();
	for (size_t i = 0; i < client_count; i++) {
		int64_t last = clients[i].last;

		close(clients[i].fd);
		open_client(&clients[i], last);
	}
	while (!over && wall_ms() < until) {
		turn(20);
		over = waitpid(pid, NULL, WNOHANG) == pid;
	}
	/* The appender is done; what it wrote last is what some client has seen, half a second later. */
	for (int i = 0; i < 25; i++)
		turn(20);
	while (!all_at(reached) && wall_ms() < until)
		turn(20);
	printf("{\"clients\": %zu, \"from\": %" PRId64 ", \"reached\": %" PRId64 ", \"ms\": %" PRId64 ", \"all\": %s, \"faults\": %" PRId64
	       ", \"broken\": %zu}\n",
		client_count, head, reached, wall_ms() - begun, all_at(reached) ? "true" : "false", faults, broken);
}

/* The clients of the peer. */
static int guests[65536];
static size_t guest_count;

static void welcome(int listener)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: here\nid: 0\n\n";
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		guests[guest_count++] = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (write(fd, head, sizeof(head) - 1) < 0)
			fail("write");
	}
}

static void tell_all(int64_t seq)
{
	char bytes[4096], frame[8192], at[40];
	ssize_t size = read(0, bytes, sizeof(bytes) - 1);
	int64_t now = wall_ms();
	time_t seconds = now / 1000;

	if (size <= 0)
		exit(0);
	bytes[size] = '\0';
	bytes[strcspn(bytes, "\n")] = '\0';
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", gmtime(&seconds));
	size = snprintf(frame, sizeof(frame), "id: %" PRId64 "\nevent: x\ndata: {\"at\":\"%s.%03dZ\",\"text\":\"%s\"}\n\n", seq, at,
		(int)(now % 1000), bytes);
	for (size_t i = 0; i < guest_count; i++)
		if (write(guests[i], frame, (size_t)size) < 0)
			fail("write");
}

static void serve(int port)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct epoll_event event = { .events = EPOLLIN }, events[256];
	int64_t seq = 0;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&own, sizeof(own)) < 0 || listen(listener, 4096) < 0)
		fail("listen");
	event.data.fd = listener;
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
	event.data.fd = 0;
	epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event);
	for (;;) {
		int ready = epoll_wait(poller, events, 256, -1);

		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd == listener)
				welcome(listener);
			else
				tell_all(++seq);
		}
	}
}

static void read_token(const char *path)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(token, sizeof(token), file))
		fail(path);
	token[strcspn(token, "\n")] = '\0';
	fclose(file);
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc < 8) {
		fprintf(stderr, "usage: see the head of bench_events.c\n");
		return 2;
	}
	snprintf(host, sizeof(host), "%s", argv[2]);
	address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3])) };
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		fail(host);
	read_token(argv[4]);
	client_count = (size_t)atoi(argv[5]);
	clients = calloc(client_count, sizeof(*clients));
	if (!strcmp(argv[1], "fan"))
		fan(atoi(argv[6]), argv + 7);
	else
		storm(atoll(argv[6]), argv + 7);
	/* Stays until its input ends, so that the server can be looked at with all its clients. */
	if (!strcmp(argv[1], "fan")) {
		char byte;

		while (read(0, &byte, 1) > 0)
			;
	}
	return faults || broken ? 1 : 0;
}
