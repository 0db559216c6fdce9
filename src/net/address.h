/* Address policy: which addresses a request may go to. It looks at the resolved address, never at the name, so that a name that points
 * inside is caught.
 * Ranges from the IANA special-purpose registries (RFC 6890, RFC 4291, RFC 6598) and the metadata addresses of the large clouds. Pure;
 * any thread. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"

enum address_class {
	ADDRESS_PUBLIC,
	ADDRESS_LOCAL, /* loopback, private, shared: only where the user's own configuration names it */
	ADDRESS_NEVER, /* link-local, metadata services, multicast, broadcast, reserved, unknown families */
};

/* An IPv4 address inside of an IPv6 one (mapped, 6to4, NAT64) counts as that IPv4 address. */
enum address_class address_classify(const struct sockaddr *address, socklen_t length);
/* "127.0.0.1", "fe80::1"; "unknown address" for other families. */
char *address_text(const void *ctx, const struct sockaddr *address, socklen_t length);
/* Connects a TCP socket to the first address of `host` that the policy allows and that answers; non-blocking inside, closes on exec.
 * The descriptor, or
 * ERR_UNREACHABLE, ERR_TIMEOUT, ERR_REFUSED (policy), ERR_INVALID. Resolving a name has the resolver's own time limit. */
must_check int address_connect(const char *host, unsigned port, bool local_ok, int64_t timeout_ms, int *ret_fd, struct err *err);

#endif
