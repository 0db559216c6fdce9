/* Objects in an S3-compatible store: written, read, listed. Requests are signed by libcurl (AWS signature, version 4); keys are paths of letters, digits and "._-/", so nothing needs escaping and none leads upwards. Path-style addresses: URL/BUCKET/KEY.
 * Failures that may pass (5xx, 429, a broken connection) are tried three times. One thread per struct s3. */
#ifndef NET_S3_H
#define NET_S3_H

#include "net/http.h"

struct s3_options {
	const char *url, *bucket, *region; /* "https://s3.eu-central-1.amazonaws.com", "backups", "eu-central-1" */
	const char *access_key, *secret_key;
	const char *ca_file; /* NULL */
	int64_t timeout_ms;  /* of one request */
};
struct s3;
struct s3 *s3_new(const void *ctx, const struct s3_options *options);

/* ERR_UNREACHABLE, ERR_FORBIDDEN (key or permission), ERR_NOT_FOUND (bucket). */
must_check int s3_put(struct s3 *s3, const char *key, const char *bytes, size_t size, struct err *err);
/* ERR_NOT_FOUND; ERR_TOO_LARGE for more than `max`. */
must_check int s3_get(struct s3 *s3, const void *ctx, const char *key, size_t max, char **ret, size_t *ret_size, struct err *err);
/* Calls `each` for all keys that begin with `prefix`. A key with other characters than ours is not ours, and left out. */
must_check int s3_list(struct s3 *s3, const char *prefix, int (*each)(void *user, const char *key, struct err *err), void *user,
	struct err *err);

/* The answer of ListObjectsV2 (API version 2006-03-01): its keys, and the token for the next page ("": the last). For s3_list and fuzzing. */
must_check int s3_read_list(const void *ctx, const char *xml, size_t size, const char ***ret_keys, const char **ret_token, struct err *err);

#endif
