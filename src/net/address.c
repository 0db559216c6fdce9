/* Address policy (address.h). Tables of ranges, matched by prefix; the first match decides. */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>

#include "base/clock.h"

struct range4 {
	uint32_t network;
	unsigned bits;
	enum address_class class;
};

#define IP4(a, b, c, d) (((uint32_t)(a) << 24) | ((uint32_t)(b) << 16) | ((uint32_t)(c) << 8) | (uint32_t)(d))

static const struct range4 ranges4[] = {
	{ IP4(100, 100, 100, 200), 32, ADDRESS_NEVER }, /* metadata of Alibaba Cloud, inside of the shared range */
	{ IP4(168, 63, 129, 16), 32, ADDRESS_NEVER },   /* Azure's host agent */
	{ IP4(192, 0, 0, 192), 32, ADDRESS_NEVER },     /* Oracle Cloud's older metadata address */
	{ IP4(169, 254, 0, 0), 16, ADDRESS_NEVER },     /* link-local: metadata of AWS, Google, Azure and others */
	{ IP4(224, 0, 0, 0), 4, ADDRESS_NEVER },        /* multicast */
	{ IP4(240, 0, 0, 0), 4, ADDRESS_NEVER },        /* reserved, broadcast */
	{ IP4(0, 0, 0, 0), 8, ADDRESS_LOCAL },          /* "this host": Linux connects to itself */
	{ IP4(127, 0, 0, 0), 8, ADDRESS_LOCAL }, { IP4(10, 0, 0, 0), 8, ADDRESS_LOCAL }, { IP4(172, 16, 0, 0), 12, ADDRESS_LOCAL },
	{ IP4(192, 168, 0, 0), 16, ADDRESS_LOCAL }, { IP4(100, 64, 0, 0), 10, ADDRESS_LOCAL }, /* shared by carriers and overlay networks */
	{ IP4(192, 0, 0, 0), 24, ADDRESS_LOCAL }, { IP4(198, 18, 0, 0), 15, ADDRESS_LOCAL },   /* benchmarks */
};

static enum address_class classify4(uint32_t ip)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges4); i++) {
		const struct range4 *range = &ranges4[i];

		if ((ip ^ range->network) >> (32 - range->bits) == 0)
			return range->class;
	}
	return ADDRESS_PUBLIC;
}

static uint32_t be32(const uint8_t *bytes)
{
	return IP4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

static enum address_class classify6(const uint8_t ip[16])
{
	static const uint8_t zeros[16];
	static const uint8_t metadata[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }; /* fd00:ec2::254 */
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (memcmp(ip, metadata, sizeof(metadata)) == 0)
		return ADDRESS_NEVER;
	if (memcmp(ip, mapped, sizeof(mapped)) == 0 || memcmp(ip, nat64, sizeof(nat64)) == 0)
		return classify4(be32(ip + 12));
	if (ip[0] == 0x20 && ip[1] == 0x02) /* 6to4 */
		return classify4(be32(ip + 2));
	if (memcmp(ip, zeros, 15) == 0 && ip[15] <= 1) /* :: and ::1 */
		return ADDRESS_LOCAL;
	if (memcmp(ip, zeros, 12) == 0) /* IPv4-compatible, long out of use */
		return classify4(be32(ip + 12));
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) /* fe80::/10 */
		return ADDRESS_NEVER;
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0xc0) /* fec0::/10, the old site-local range */
		return ADDRESS_LOCAL;
	if ((ip[0] & 0xfe) == 0xfc) /* fc00::/7 */
		return ADDRESS_LOCAL;
	if (ip[0] == 0xff) /* multicast */
		return ADDRESS_NEVER;
	return ADDRESS_PUBLIC;
}

enum address_class address_classify(const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in ip4;
	struct sockaddr_in6 ip6;

	if (address->sa_family == AF_INET && length >= sizeof(ip4)) {
		memcpy(&ip4, address, sizeof(ip4));
		return classify4(ntohl(ip4.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6 && length >= sizeof(ip6)) {
		memcpy(&ip6, address, sizeof(ip6));
		return classify6(ip6.sin6_addr.s6_addr);
	}
	return ADDRESS_NEVER;
}

char *address_text(const void *ctx, const struct sockaddr *address, socklen_t length)
{
	char text[NI_MAXHOST];

	if ((address->sa_family != AF_INET && address->sa_family != AF_INET6) ||
		getnameinfo(address, length, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
		return mem_strdup(ctx, "unknown address");
	return mem_strdup(ctx, text);
}

/* 0, or an errno value. */
static int connect_within(int fd, const struct sockaddr *address, socklen_t length, int64_t until_ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int problem = 0, n;

	if (connect(fd, address, length) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EINTR)
		return errno;
	for (;;) {
		int64_t left = until_ms - clock_mono_ms();

		if (left <= 0)
			return ETIMEDOUT;
		n = poll(&wait, 1, (int)MIN(left, (int64_t)60000));
		if (n > 0)
			break;
		if (n < 0 && errno != EINTR)
			return errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0)
		return errno;
	return problem;
}

static int connect_failed(struct err *err, const char *host, unsigned port, int problem, int64_t timeout_ms)
{
	switch (problem) {
	case ECONNREFUSED:
		return err_set(err, ERR_UNREACHABLE, "%s:%u: connection refused: nothing listens there", host, port);
	case ETIMEDOUT:
		return err_set(err, ERR_TIMEOUT, "%s:%u: no connection within %lld ms", host, port, (long long)timeout_ms);
	case EHOSTUNREACH:
	case ENETUNREACH:
		return err_set(err, ERR_UNREACHABLE, "%s:%u: there is no route to it", host, port);
	default:
		(void)err_errno(err, problem, "%s:%u: connecting failed", host, port);
		return err_as(err, ERR_UNREACHABLE);
	}
}

int address_connect(const char *host, unsigned port, bool local_ok, int64_t timeout_ms, int *ret_fd, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL, *a;
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	_cleanup_talloc_ char *denied = NULL;
	char service[16];
	int problem = 0, r;

	if (port == 0 || port > 65535)
		return err_set(err, ERR_INVALID, "port %u is not between 1 and 65535", port);
	snprintf(service, sizeof(service), "%u", port);
	r = getaddrinfo(host, service, &hints, &list);
	if (r != 0)
		return err_set(err, ERR_UNREACHABLE, "the name '%s' cannot be resolved: %s", host, gai_strerror(r));

	for (a = list; a; a = a->ai_next) {
		enum address_class class = address_classify(a->ai_addr, a->ai_addrlen);
		_cleanup_close_ int fd = -1;

		if (class == ADDRESS_NEVER || (class == ADDRESS_LOCAL && !local_ok)) {
			talloc_free(denied);
			denied = address_text(NULL, a->ai_addr, a->ai_addrlen);
			continue;
		}
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		problem = fd < 0 ? errno : connect_within(fd, a->ai_addr, a->ai_addrlen, until_ms);
		if (problem == 0) {
			freeaddrinfo(list);
			*ret_fd = take_fd(fd);
			return 0;
		}
	}
	freeaddrinfo(list);
	if (problem == 0)
		return err_set(err, ERR_REFUSED, "'%s' is %s, where unship sends nothing", host, denied ? denied : "no address");
	return connect_failed(err, host, port, problem, timeout_ms);
}
