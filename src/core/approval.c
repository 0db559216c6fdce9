/* Approval requests as a fold over their entries. What an entry may follow on is decided here and nowhere else: the store folds the
 * entries of a request together with the one that is to be
 * appended, in the transaction that appends it, so two people who vote at the same moment are counted one after the other.
 * An entry's own time is the time at which it is judged: folding again gives the same.
 * Pure; any thread. */
#include "core/approval.h"

#include <string.h>

#include "base/clock.h"
#include "data/json.h"

static const char *const status_names[] = {
	[APPROVAL_PENDING] = "pending",
	[APPROVAL_APPROVED] = "approved",
	[APPROVAL_USED] = "used",
	[APPROVAL_REJECTED] = "rejected",
	[APPROVAL_EXPIRED] = "expired",
	[APPROVAL_WITHDRAWN] = "withdrawn",
};

const char *approval_status_name(enum approval_status status)
{
	assert_always((size_t)status < ARRAY_SIZE(status_names));
	return status_names[status];
}

enum approval_status approval_status_at(const struct approval *approval, int64_t now_ms)
{
	if (approval->status == APPROVAL_PENDING && now_ms >= approval->expires_ms)
		return APPROVAL_EXPIRED;
	if (approval->status == APPROVAL_APPROVED && now_ms >= approval->use_until_ms)
		return APPROVAL_EXPIRED;
	return approval->status;
}

static size_t approved_by(const struct approval *approval)
{
	size_t count = 0;

	for (size_t i = 0; i < approval->vote_count; i++)
		count += approval->votes[i].approves;
	return count;
}

static bool has_voted(const struct approval *approval, const char *principal_id)
{
	for (size_t i = 0; i < approval->vote_count; i++)
		if (!strcmp(approval->votes[i].principal_id, principal_id))
			return true;
	return false;
}

static int need(const struct entry *entry, const char *member, const char **ret, struct err *err)
{
	*ret = json_str(entry->data, member, NULL);
	if (!*ret || !**ret)
		return err_set(err, ERR_CORRUPT, "%s: data.%s is missing", entry->kind, member);
	return 0;
}

static int requested(const void *ctx, const struct entry *entry, struct approval *approval, struct err *err)
{
	int64_t ttl_ms = json_int(entry->data, "ttlMs", 0);
	int r;

	r = need(entry, "approval", &approval->id, err);
	if (r == 0)
		r = need(entry, "operation", &approval->operation, err);
	if (r == 0)
		r = need(entry, "principal", &approval->requester_id, err);
	if (r == 0)
		r = permissions_read(json_object_get(entry->data, "needs"), &approval->needs, err);
	if (r < 0)
		return err_as(err, ERR_CORRUPT);
	approval->required = json_int(entry->data, "required", 0);
	if (approval->required < 1 || ttl_ms < 1 || !entry->actor)
		return err_set(err, ERR_CORRUPT, "%s: required, ttlMs and the actor must be there", entry->kind);
	approval->environment = entry->environment;
	approval->input = json_object_get(entry->data, "input");
	if (!approval->input)
		approval->input = json_keep(ctx, json_object());
	approval->plan_hash = json_str(entry->data, "planHash", NULL);
	approval->shown = json_object_get(entry->data, "shown");
	approval->requester = entry->actor;
	approval->reason = json_str(entry->data, "reason", NULL);
	approval->by_way_of = json_str(entry->data, "byWayOf", NULL);
	approval->requested_ms = entry->wall_ms;
	approval->expires_ms = entry->wall_ms + ttl_ms;
	return 0;
}

static int given(const struct entry *entry, struct approval *approval, struct err *err)
{
	struct approval_vote vote = { .name = entry->actor ? entry->actor : "",
		.approves = json_flag(entry->data, "approves", false),
		.reason = json_str(entry->data, "reason", NULL),
		.at_ms = entry->wall_ms };
	int r;

	r = need(entry, "principal", &vote.principal_id, err);
	if (r < 0)
		return r;
	if (approval_status_at(approval, entry->wall_ms) != APPROVAL_PENDING)
		return err_set(err, ERR_CORRUPT, "approval %s is %s: nobody can vote any more", approval->id,
			approval_status_name(approval_status_at(approval, entry->wall_ms)));
	if (!strcmp(vote.principal_id, approval->requester_id) || has_voted(approval, vote.principal_id))
		return err_set(err, ERR_CORRUPT, "%s has a part in approval %s already", vote.name, approval->id);
	approval->votes = mem_resize(approval, approval->votes, struct approval_vote, approval->vote_count + 1);
	approval->votes[approval->vote_count++] = vote;
	if (!vote.approves) {
		approval->status = APPROVAL_REJECTED;
	} else if ((int64_t)approved_by(approval) >= approval->required) {
		approval->status = APPROVAL_APPROVED;
		approval->approved_ms = entry->wall_ms;
		approval->use_until_ms = entry->wall_ms + (approval->expires_ms - approval->requested_ms);
	}
	return 0;
}

static int used(const struct entry *entry, struct approval *approval, struct err *err)
{
	enum approval_status now = approval_status_at(approval, entry->wall_ms);

	if (now != APPROVAL_APPROVED)
		return err_set(err, ERR_CORRUPT, "approval %s is %s, so it cannot be used", approval->id, approval_status_name(now));
	approval->status = APPROVAL_USED;
	approval->run = json_str(entry->data, "run", NULL);
	return 0;
}

static int withdrawn(const struct entry *entry, struct approval *approval, struct err *err)
{
	enum approval_status now = approval_status_at(approval, entry->wall_ms);

	if (now != APPROVAL_PENDING && now != APPROVAL_APPROVED)
		return err_set(err, ERR_CORRUPT, "approval %s is %s, so it cannot be withdrawn", approval->id, approval_status_name(now));
	approval->status = APPROVAL_WITHDRAWN;
	return 0;
}

static const struct {
	const char *kind;
	int (*fold)(const struct entry *entry, struct approval *approval, struct err *err);
} folds[] = {
	{ ENTRY_APPROVAL_GIVEN, given },
	{ ENTRY_APPROVAL_USED, used },
	{ ENTRY_APPROVAL_WITHDRAWN, withdrawn },
};

static int fold_one(const struct entry *entry, struct approval *approval, struct err *err)
{
	const char *id = json_str(entry->data, "approval", "");

	if (strcmp(id, approval->id) != 0)
		return err_set(err, ERR_CORRUPT, "%s of approval %s among those of %s", entry->kind, id, approval->id);
	for (size_t i = 0; i < ARRAY_SIZE(folds); i++)
		if (!strcmp(folds[i].kind, entry->kind))
			return folds[i].fold(entry, approval, err);
	return err_set(err, ERR_CORRUPT, "%s cannot follow in approval %s", entry->kind, approval->id);
}

int approval_fold(const void *ctx, const struct entry *entries, size_t count, struct approval **ret, struct err *err)
{
	struct approval *approval = mem_zero(ctx, struct approval);
	int r;

	if (count == 0 || strcmp(entries[0].kind, ENTRY_APPROVAL_REQUESTED) != 0)
		r = err_set(err, ERR_CORRUPT, "an approval begins with " ENTRY_APPROVAL_REQUESTED);
	else
		r = requested(approval, &entries[0], approval, err);
	for (size_t i = 1; r == 0 && i < count; i++)
		r = fold_one(&entries[i], approval, err);
	if (r < 0) {
		talloc_free(approval);
		return r;
	}
	*ret = approval;
	return 0;
}

int approval_may_vote(const struct approval *approval, const char *principal_id, const struct principal *principal, int64_t now_ms,
	struct err *err)
{
	enum approval_status now = approval_status_at(approval, now_ms);
	int r;

	r = access_check(principal, PERMIT_APPROVE, approval->environment ? approval->environment : "*", err);
	if (r < 0)
		return r;
	if (now != APPROVAL_PENDING)
		return err_set(err, ERR_INVALID, "approval %s has ended already: %s", approval->id, approval_status_name(now));
	if (!strcmp(principal_id, approval->requester_id))
		return err_set(err, ERR_FORBIDDEN, "%s asked for it: somebody else must approve", approval->requester);
	if (has_voted(approval, principal_id))
		return err_set(err, ERR_CONFLICT, "approval %s has this vote already: another person must approve", approval->id);
	return 0;
}

static void put_time(json_t *object, const char *key, int64_t wall_ms)
{
	_cleanup_talloc_ char *text = wall_ms ? clock_format(NULL, wall_ms) : NULL;

	json_put_str(object, key, text);
}

json_t *approval_json(unused_arg const void *ctx, const struct approval *approval, int64_t now_ms)
{
	json_t *object = json_pack("{s:s, s:s, s:s}", "id", approval->id, "operation", approval->operation, "status",
		approval_status_name(approval_status_at(approval, now_ms)));
	json_t *votes = json_array();

	json_put_str(object, "environment", approval->environment);
	json_put(object, "input", approval->input);
	json_put_str(object, "planHash", approval->plan_hash);
	json_put(object, "shown", approval->shown);
	json_object_set_new(object, "needs", permissions_json(approval->needs));
	json_put_str(object, "requester", approval->requester);
	json_put_str(object, "reason", approval->reason);
	json_put_str(object, "byWayOf", approval->by_way_of);
	json_put_int(object, "required", approval->required);
	json_put_int(object, "approvedBy", (int64_t)approved_by(approval));
	for (size_t i = 0; i < approval->vote_count; i++) {
		const struct approval_vote *vote = &approval->votes[i];
		json_t *item = json_pack("{s:s, s:b}", "name", vote->name, "approves", vote->approves);

		json_put_str(item, "reason", vote->reason);
		put_time(item, "at", vote->at_ms);
		json_array_append_new(votes, item);
	}
	json_object_set_new(object, "votes", votes);
	put_time(object, "requestedAt", approval->requested_ms);
	put_time(object, "expiresAt", approval->expires_ms);
	put_time(object, "approvedAt", approval->approved_ms);
	put_time(object, "useUntil", approval->use_until_ms);
	json_put_str(object, "run", approval->run);
	return object;
}
