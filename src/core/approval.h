/* Approval requests: an operation, with its input, that waits for people. Pure: a fold over entries.
 *
 * Somebody asks (approval.requested); others approve or reject (approval.given), each counted once by principal; the requester is never counted, whatever name they use. When enough have approved, the
 * operation is carried out as the requester, with the plan hash that was shown, so that another state is refused; that it was is written down (approval.used) before it starts: an approval is used once.
 * One rejection ends the request. It ends by itself when its time is over; so does an approval that was not used in time. Times are compared with the entries' wall clock, by whoever asks. */
#ifndef CORE_APPROVAL_H
#define CORE_APPROVAL_H

#include "core/access.h"
#include "core/entry.h"

enum approval_status { APPROVAL_PENDING, APPROVAL_APPROVED, APPROVAL_USED, APPROVAL_REJECTED, APPROVAL_EXPIRED, APPROVAL_WITHDRAWN };
const char *approval_status_name(enum approval_status status); /* "pending", ... */

struct approval {
	const char *id; /* "apr-..." */
	const char *environment, *operation;
	json_t *input;         /* of the operation, without secrets */
	const char *plan_hash; /* what was shown; NULL where there is no plan */
	json_t *shown;         /* the difference and findings as the requester saw them; may be NULL */
	permissions needs;     /* why it is needed: of core/access.h */
	const char *requester, *requester_id, *reason;
	const char *by_way_of; /* "mcp": asked for by a machine on somebody's behalf; NULL */
	int64_t required, requested_ms, expires_ms;
	int64_t approved_ms, use_until_ms; /* 0 before */
	struct approval_vote {
		const char *principal_id, *name;
		bool approves;
		const char *reason;
		int64_t at_ms;
	} * votes;
	size_t vote_count;
	enum approval_status status;
	const char *run; /* what came of it; NULL */
};

/* Folds entries of one request, oldest first. ERR_CORRUPT for one that cannot follow. */
must_check int approval_fold(const void *ctx, const struct entry *entries, size_t count, struct approval **ret, struct err *err);
/* Its status now: pending and approved ones expire. */
enum approval_status approval_status_at(const struct approval *approval, int64_t now_ms);
/* May this principal vote? ERR_FORBIDDEN (the requester; lacks approve there), ERR_CONFLICT (voted already), ERR_INVALID (ended). */
must_check int approval_may_vote(const struct approval *approval, const char *principal_id, const struct principal *principal,
	int64_t now_ms, struct err *err);
json_t *approval_json(const void *ctx, const struct approval *approval, int64_t now_ms); /* new reference */

#endif
