/* Idempotency-Key on POST (docs/reference/http.md): the same key and the same request get the same answer, for 24 hours; nothing is done twice.
 *
 * The row of a key stands in the store before the handler begins, and every entry that the request appends is noted in it in that entry's own transaction (store/idempotency.h). So a request whose server
 * died, or that failed with an error of ours (5xx), can be told apart when it comes again: without an entry nothing was done, and it is done now; with one its effect is there, and only its
 * answer is made anew: that of the run which it requested, or a conflict that names the entries.
 *
 * An answer that holds a token is not kept: tokens are shown once. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "data/hash.h"
#include "data/json.h"
#include "ops/identity.h"
#include "ops/runs.h"
#include "store/idempotency.h"
#include "surface/http/inner.h"

#define KEEP_MS      ((int64_t)24 * 60 * 60 * 1000)
#define NOTED_MAX    64
#define TOKEN_BEGINS "unship_"

struct idempotent {
	const char *id;
};

static const char *row_id(const struct exchange *x, const char *key)
{
	char hash[HASH_HEX_SIZE];
	const char *text = mem_printf(x->ctx, "%s\n%s", x->principal ? x->principal->id : "", key);

	hash_sha256_hex(text, strlen(text), hash);
	return mem_strdup(x->ctx, hash);
}

static const char *request_hash(const struct exchange *x)
{
	char hash[HASH_HEX_SIZE], body[HASH_HEX_SIZE];
	const char *text;

	hash_sha256_hex(x->body, x->body_size, body);
	text = mem_printf(x->ctx, "%s\n%s\n%s", x->method, INNER(x)->target, body);
	hash_sha256_hex(text, strlen(text), hash);
	return mem_strdup(x->ctx, hash);
}

static void replay(struct exchange *x, const struct request_row *row)
{
	exchange_add_header(x, "Idempotency-Replayed", "true");
	if (row->location)
		exchange_add_header(x, "Location", row->location);
	exchange_answer_text(x, row->status, row->type, row->answer);
	x->no_etag = true;
}

static int conflict(struct exchange *x, struct err *err)
{
	x->status = 409;
	return -(int)err->code;
}

/* The effect is there, its answer is not. */
static int recover(struct exchange *x, const struct request_row *row, struct err *err)
{
	struct entry_filter filter = { .after_seq = row->first_seq - 1, .limit = NOTED_MAX };
	struct op op = exchange_op(x);
	struct entry *entries;
	json_t *answer;
	size_t count;
	int r;

	r = store_read(x->workspace->store, x->ctx, &filter, &entries, &count, err);
	for (size_t i = 0; r == 0 && i < count && entries[i].seq <= row->last_seq; i++) {
		if (strcmp(entries[i].kind, ENTRY_RUN_REQUESTED) != 0 || !entries[i].actor || strcmp(entries[i].actor, op.actor) != 0)
			continue;
		r = run_answer(&op, entries[i].run, &answer, err);
		if (r == 0) {
			exchange_add_header(x, "Idempotency-Replayed", "true");
			exchange_add_header(x, "Location", mem_printf(x->ctx, "/api/v1/rollbacks/%s", entries[i].run));
			exchange_answer_json(x, run_is_over(answer) ? 200 : 202, answer);
			return 1;
		}
	}
	if (r < 0)
		return r;
	err_set(err, ERR_CONFLICT,
		"this request was carried out (entries %lld to %lld of the journal), but the server stopped before it had answered; it is not done again",
		(long long)row->first_seq, (long long)row->last_seq);
	return conflict(x, err);
}

static int answer_known(struct exchange *x, const char *hash, const struct request_row *row, struct err *err)
{
	if (strcmp(row->hash, hash) != 0)
		return err_set(err, ERR_INVALID, "this Idempotency-Key was used for another request; a new request needs a new key");
	if (row->running) {
		err_set(err, ERR_CONFLICT, "the request with this Idempotency-Key is still being carried out; try again in a moment");
		exchange_add_header(x, "Retry-After", "1");
		return conflict(x, err);
	}
	if (!row->status)
		return recover(x, row, err);
	if (!row->answer) {
		err_set(err, ERR_CONFLICT,
			"this request was answered (%d) with a token that is shown once and not kept; it is not done again", row->status);
		return conflict(x, err);
	}
	replay(x, row);
	return 1;
}

int idempotency_begin(struct inner *inner, struct workspace *workspace, struct err *err)
{
	struct exchange *x = &inner->x;
	const char *header = exchange_header(x, "Idempotency-Key"), *key, *id, *hash;
	struct request_row row;
	bool mine = false;
	int r;

	if (!header || strcmp(x->method, "POST") != 0 || !x->principal)
		return 0;
	key = idempotency_key_parse(x->ctx, header);
	if (!key)
		return err_set(err, ERR_USAGE, "Idempotency-Key: 1 to 255 visible ASCII characters, in quotes or without");
	id = row_id(x, key);
	hash = request_hash(x);
	r = workspace_store(workspace, err);
	if (r == 0)
		r = store_request_begin(workspace->store, x->ctx, id, hash, clock_wall_ms() + KEEP_MS, &row, &mine, err);
	if (r < 0)
		return r;
	if (!mine)
		return answer_known(x, hash, &row, err);
	inner->idempotent = mem_zero(x->ctx, struct idempotent);
	inner->idempotent->id = id;
	workspace->store->request = id;
	return 0;
}

void idempotency_end(struct inner *inner, struct workspace *workspace)
{
	struct exchange *x = &inner->x;
	struct err err = ERR_INIT;
	const char *answer = x->answer;
	int status = x->status;

	if (workspace->store)
		workspace->store->request = NULL;
	if (!inner->idempotent || inner->progress != PROGRESS_ANSWERED)
		return;
	if (status >= 500 || status == 429)
		status = 0;
	else if (answer && strstr(answer, TOKEN_BEGINS))
		answer = NULL;
	if (workspace_store(workspace, &err) == 0 &&
		store_request_end(workspace->store, inner->idempotent->id, status, x->type, status ? answer : NULL,
			pairs_find_any_case(&inner->out, "Location"), &err) == 0)
		return;
	err_in(&err, "the answer to a request with an Idempotency-Key could not be kept");
	log_err(LOG_ERROR, &err);
}
