/* HTTP client on libcurl: one request, limits, an address policy. libcurl is loaded at the first request (dlopen), so that the program
 * starts fast.
 * Redirects are not followed. Only http and https. The resolved address is checked before connecting: link-local and metadata addresses
 * (169.254/16, fe80::/10, fd00:ec2::254) never; loopback and private ranges
 * only when the URL comes from the user's own configuration (`local_ok`). */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/err.h"
#include "base/mem.h"

struct http_request {
	const char *method; /* NULL: GET, or POST with a body */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	const char *body;
	size_t body_size;
	int64_t timeout_ms;  /* whole request; required */
	size_t response_max; /* bytes; default 1 MiB; more is ERR_TOO_LARGE */
	bool local_ok;
	const char *unix_socket; /* NULL, or path */
	bool insecure;           /* do not verify the certificate */
	const char *ca_file;     /* authorities (PEM) instead of the system's; NULL */
	int64_t connect_ms;      /* time for connecting; 0: as the whole request */
	bool path_as_is;         /* "/.." in the URL is not resolved */
	/* Signed by the AWS signature, version 4: "aws:amz:eu-central-1:s3", and who signs. NULL: not. */
	const char *sign, *sign_user, *sign_secret;
	struct http_session *session; /* keeps the connection for the next request; NULL: closed afterwards */

	/* An answer without an end: the body of a 2xx answer goes here as it comes, and not to response.body; it has no maximum, and timeout_ms may be 0. Returns 0: go on; 1: enough, the request ends well. Other
	 * answers are taken as usual. */
	int (*take)(void *user, const char *bytes, size_t size);
	int64_t quiet_ms; /* ERR_TIMEOUT when nothing comes for so long; 0: no such limit */
	/* Asked at least once a second, from the calling thread; true ends the request with ERR_CANCELLED. May be NULL. */
	bool (*interrupted)(void *user);
	void *user;
	/* Set to true, also when the request fails, once it may have reached the other side: what came of it is not known then. May be NULL. */
	bool *ret_sent;
};
struct http_response {
	int status;
	char *body;
	size_t body_size;
	const char *content_type;   /* NULL */
	const char *const *headers; /* "Name: value", NULL-terminated */
	int64_t duration_ms;
	int64_t retry_after_ms; /* what the header Retry-After asks for; 0: nothing */
};
/* A connection that several requests of one thread may use, one after the other. Ends with its context. */
struct http_session;
struct http_session *http_session_new(const void *ctx);
/* Loads libcurl now. For a process that forks children which will need it. */
void http_preload(void);
/* ERR_UNREACHABLE (refused, no route, name unknown, TLS failed: each in words), ERR_TIMEOUT, ERR_REFUSED (address policy),
 * ERR_TOO_LARGE, ERR_INVALID (URL). Any HTTP status is success here. */
/* Messages name the origin of the URL only: paths and queries may be secret. */
must_check int http_request(const void *ctx, const struct http_request *request, struct http_response *ret, struct err *err);

/* Value of the first header of that name, in any case; NULL. */
const char *http_response_header(const struct http_response *response, const char *name);

#endif
