/* The journal: append, read, verify, rebuild.
 *
 * An append is one transaction under the write lock: the head (seq and hash of the newest entry) is read, the fence checked, each
 * entry linked,
 * written and folded into the tables, the head moved. The head stands in a row of its own, so that entries cut off at the end are noticed.
 * Long readings go in batches and leave no statement open between them: any database can do that. */
#include "store/internal.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "base/text.h"
#include "data/doc.h"

#define BATCH    256
#define TEXT_MAX 1024 /* of kind, environment, run, actor */

struct head {
	int64_t seq;
	char hash[65];
};

static int read_head(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	struct head *head = user;

	head->seq = columns[0].integer;
	(void)snprintf(head->hash, sizeof(head->hash), "%s", columns[1].text);
	return 0;
}

static int journal_head(struct store *store, struct head *ret, struct err *err)
{
	struct head head = { .seq = -1 };
	int r;

	r = store->sql->ops->run(store->sql, "SELECT seq, hash FROM head WHERE id = 1", NULL, 0, read_head, &head, err);
	if (r < 0)
		return r;
	if (head.seq < 0)
		return err_set(err, ERR_CORRUPT, "the journal has lost its head");
	*ret = head;
	return 0;
}

int store_head(struct store *store, int64_t *ret_seq, struct err *err)
{
	struct head head;
	int r;

	r = journal_head(store, &head, err);
	if (r == 0)
		*ret_seq = head.seq;
	return r;
}

/* What is written must be readable by json_parse: the same limits. */
static bool data_fits(const json_t *value, unsigned depth, size_t *nodes)
{
	const char *key;
	json_t *member;
	size_t index;

	if (depth > DOC_DEPTH_MAX || ++*nodes > DOC_NODES_MAX)
		return false;
	if (json_is_string(value))
		return strlen(json_string_value(value)) == json_string_length(value);
	if (json_is_object(value)) {
		/* The macro takes no const object; nothing is changed. */
		json_object_foreach((json_t *)value, key, member)
			if (strlen(key) > DOC_KEY_MAX || !data_fits(member, depth + 1, nodes))
				return false;
	}
	json_array_foreach(value, index, member)
		if (!data_fits(member, depth + 1, nodes))
			return false;
	return true;
}

static int check_text(const char *name, const char *text, struct err *err)
{
	if (!text || (strlen(text) <= TEXT_MAX && text_is_utf8(text, strlen(text))))
		return 0;
	return err_set(err, ERR_INVALID, "%s of an entry: at most %d bytes of UTF-8", name, TEXT_MAX);
}

static int check_entry(const struct entry *entry, struct err *err)
{
	size_t nodes = 0;
	int r;

	if (!entry->kind || !entry->kind[0])
		return err_set(err, ERR_INVALID, "an entry without a kind");
	r = check_text("kind", entry->kind, err);
	if (r == 0)
		r = check_text("id", entry->id, err);
	if (r == 0)
		r = check_text("environment", entry->environment, err);
	if (r == 0)
		r = check_text("run", entry->run, err);
	if (r == 0)
		r = check_text("actor", entry->actor, err);
	if (r == 0 && entry->data && !json_is_object(entry->data))
		return err_set(err, ERR_INVALID, "%s: data is no object", entry->kind);
	if (r == 0 && entry->data && !data_fits(entry->data, 1, &nodes))
		return err_set(err, ERR_INVALID, "%s: data is nested too deep, too large, or has a 0 byte in a text", entry->kind);
	return r;
}

static int write_entry(struct store *store, const struct entry *entry, struct err *err)
{
	char *text = json_dumps(entry->data, JSON_COMPACT);
	int r;

	assert_always(text != NULL);
	if (strlen(text) > DOC_SIZE_MAX)
		r = err_set(err, ERR_INVALID, "%s: data of %zu bytes; at most %u are kept", entry->kind, strlen(text), DOC_SIZE_MAX);
	else
		r = sql_do(store->sql, err, "INSERT INTO entries (" ENTRY_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
			SQL_I(entry->seq), SQL_T(entry->id), SQL_I(entry->wall_ms), SQL_T(entry->kind), SQL_T(entry->environment),
			SQL_T(entry->run), SQL_T(entry->actor), SQL_T(text), SQL_T(entry->previous), SQL_T(entry->hash));
	free(text);
	return r;
}

static int append_one(struct store *store, const void *ctx, struct entry *entry, struct head *head, struct err *err)
{
	int r;

	r = check_entry(entry, err);
	if (r < 0)
		return r;
	if (!entry->id)
		entry->id = id_new(ctx, "ent");
	if (!entry->wall_ms)
		entry->wall_ms = clock_wall_ms();
	if (!entry->data)
		entry->data = json_keep(ctx, json_object());
	entry->seq = head->seq + 1;
	entry->previous = mem_strdup(ctx, head->hash);
	entry_seal(ctx, entry);
	r = write_entry(store, entry, err);
	if (r == 0)
		r = projections_fold(handle_of(store), ctx, entry, err);
	if (r < 0)
		return r;
	head->seq = entry->seq;
	(void)snprintf(head->hash, sizeof(head->hash), "%s", entry->hash);
	return 0;
}

int store_begin(struct store *store, struct err *err)
{
	handle_of(store)->registry_changed = false;
	handle_of(store)->begun_us = clock_mono_us();
	return store->sql->ops->begin(store->sql, err);
}

int store_add(struct store *store, const void *ctx, const struct claim *fence, struct entry *entries, size_t count, struct err *err)
{
	struct entry *before = mem_dup(NULL, entries, count * sizeof(*entries));
	struct head head;
	int r;

	r = journal_head(store, &head, err);
	if (r == 0 && fence)
		r = claim_check(handle_of(store), fence, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = append_one(store, ctx, &entries[i], &head, err);
	if (r == 0)
		r = sql_do(store->sql, err, "UPDATE head SET seq = $1, hash = $2 WHERE id = 1", SQL_I(head.seq), SQL_T(head.hash));
	if (r == 0)
		r = request_note(store, entries, count, err);
	if (r == 0 && handle_of(store)->registry_changed)
		r = sql_do(store->sql, err, "UPDATE registry_file SET changed_seq = $1 WHERE id = 1", SQL_I(head.seq));
	if (r < 0)
		memcpy(entries, before, count * sizeof(*entries));
	(void)talloc_free(before);
	return r;
}

int store_commit(struct store *store, struct err *err)
{
	int r;

	FAILPOINT("store.before_commit");
	r = store->sql->ops->commit(store->sql, err);
	if (r < 0)
		return r;
	FAILPOINT("store.committed");
	if (store->committed)
		store->committed(store->committed_user, clock_mono_us() - handle_of(store)->begun_us);
	if (handle_of(store)->registry_changed)
		registry_follow(handle_of(store));
	return 0;
}

void store_undo(struct store *store)
{
	store->sql->ops->rollback(store->sql);
}

void store_defer(struct store *store, bool on)
{
	if (store->sql->ops->defer)
		store->sql->ops->defer(store->sql, on);
}

static int journal_append(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err)
{
	struct store *store = (struct store *)journal;
	int r;

	if (count == 0)
		return 0;
	r = store_begin(store, err);
	if (r == 0)
		r = store_add(store, ctx, fence, entries, count, err);
	if (r == 0)
		r = store_commit(store, err);
	if (r < 0)
		store_undo(store);
	return r;
}

int read_entry(const void *ctx, const struct sql_value *columns, void *ret, struct err *err)
{
	struct entry *entry = ret;
	int r;

	*entry = (struct entry){
		.seq = columns[0].integer,
		.id = mem_strdup(ctx, columns[1].text),
		.wall_ms = columns[2].integer,
		.kind = mem_strdup(ctx, columns[3].text),
		.environment = mem_strdup(ctx, columns[4].text),
		.run = mem_strdup(ctx, columns[5].text),
		.actor = mem_strdup(ctx, columns[6].text),
		.previous = mem_strdup(ctx, columns[8].text),
		.hash = mem_strdup(ctx, columns[9].text),
	};
	r = column_json(ctx, &columns[7], &entry->data, err);
	return r < 0 ? err_in(err, "entry %lld", (long long)entry->seq) : 0;
}

static int journal_read(struct journal *journal, const void *ctx, const struct entry_filter *filter, struct entry **ret, size_t *ret_count,
	struct err *err)
{
	struct store *store = (struct store *)journal;
	struct gather rows = { .ctx = ctx, .size = sizeof(struct entry), .read = read_entry };
	_cleanup_talloc_ char *statement = mem_strdup(NULL, "SELECT " ENTRY_COLUMNS " FROM entries WHERE seq > $1");
	_cleanup_talloc_ char *beginning = NULL;
	struct sql_value values[6] = { SQL_I(filter->after_seq) };
	size_t count = 1;
	int r;

	if (filter->before_seq) {
		values[count++] = SQL_I(filter->before_seq);
		statement = mem_appendf(statement, " AND seq < $%zu", count);
	}
	if (filter->run) {
		values[count++] = SQL_T(filter->run);
		statement = mem_appendf(statement, " AND run = $%zu", count);
	}
	if (filter->environment) {
		values[count++] = SQL_T(filter->environment);
		statement = mem_appendf(statement, " AND environment = $%zu", count);
	}
	if (filter->kind && text_ends_with(filter->kind, ".*")) {
		size_t length = strlen(filter->kind) - 1;

		beginning = mem_strndup(NULL, filter->kind, length);
		values[count++] = SQL_T(beginning);
		statement = mem_appendf(statement, " AND substr(kind, 1, %zu) = $%zu", length, count);
	} else if (filter->kind) {
		values[count++] = SQL_T(filter->kind);
		statement = mem_appendf(statement, " AND kind = $%zu", count);
	}
	statement = mem_appendf(statement, " ORDER BY seq%s", filter->newest_first ? " DESC" : "");
	if (filter->limit) {
		values[count++] = SQL_I((int64_t)filter->limit);
		statement = mem_appendf(statement, " LIMIT $%zu", count);
	}
	r = store->sql->ops->run(store->sql, statement, values, count, gather_row, &rows, err);
	if (r < 0) {
		(void)talloc_free(rows.rows);
		return r;
	}
	*ret = (struct entry *)(void *)rows.rows;
	*ret_count = rows.count;
	return 0;
}

static int journal_append_soon(struct journal *journal, const void *ctx, const struct claim *fence, struct entry *entries, size_t count,
	struct err *err)
{
	struct store *store = (struct store *)journal;
	int r;

	store_defer(store, true);
	r = journal_append(journal, ctx, fence, entries, count, err);
	store_defer(store, false);
	return r;
}

static int journal_settle(struct journal *journal, struct err *err)
{
	struct sql *sql = ((struct store *)journal)->sql;

	return sql->ops->settle ? sql->ops->settle(sql, err) : 0;
}

const struct journal_ops store_journal_ops = {
	.append = journal_append,
	.append_soon = journal_append_soon,
	.settle = journal_settle,
	.read = journal_read,
	.claim = journal_claim,
	.renew = journal_renew,
	.release = journal_release,
};

/* Every entry in order; `each` may use the store. */
static int each_entry(struct store *store, int (*each)(void *user, const void *ctx, const struct entry *entry, struct err *err), void *user,
	struct err *err)
{
	struct entry_filter filter = { .limit = BATCH };
	size_t count;
	int r;

	do {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct entry *entries;

		r = journal_read(&store->journal, ctx, &filter, &entries, &count, err);
		for (size_t i = 0; r == 0 && i < count; i++)
			r = each(user, ctx, &entries[i], err);
		if (r == 0 && count > 0)
			filter.after_seq = entries[count - 1].seq;
	} while (r == 0 && count == BATCH);
	return r;
}

struct verification {
	struct head expected; /* what the head's row said before */
	struct head reached;
};

static int verify_entry(void *user, const void *ctx, const struct entry *entry, struct err *err)
{
	struct verification *verification = user;
	struct entry sealed = *entry;
	int64_t next = verification->reached.seq + 1;

	if (entry->seq > verification->expected.seq)
		return 1; /* written since */
	if (entry->seq != next)
		return err_set(err, ERR_CORRUPT, "entry %lld is missing: entry %lld follows on %lld", (long long)next,
			(long long)entry->seq, (long long)next - 1);
	entry_seal(ctx, &sealed);
	if (strcmp(sealed.hash, entry->hash) != 0)
		return err_set(err, ERR_CORRUPT, "entry %lld was altered: its hash does not fit its content", (long long)entry->seq);
	if (strcmp(entry->previous, verification->reached.hash) != 0)
		return err_set(err, ERR_CORRUPT, "entry %lld does not follow on entry %lld: altered or reordered", (long long)entry->seq,
			(long long)entry->seq - 1);
	verification->reached.seq = entry->seq;
	(void)snprintf(verification->reached.hash, sizeof(verification->reached.hash), "%s", entry->hash);
	return 0;
}

static int read_two(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	int64_t *two = user;

	two[0] = columns[0].type == SQL_INT ? columns[0].integer : 0;
	two[1] = columns[1].integer;
	return 0;
}

int store_verify(struct store *store, int64_t *ret_count, char ret_head[65], struct err *err)
{
	struct verification verification = { .reached = { .hash = ENTRY_FIRST_PREVIOUS } };
	int64_t newest[2] = { 0, 0 };
	int r;

	r = journal_head(store, &verification.expected, err);
	if (r == 0)
		r = each_entry(store, verify_entry, &verification, err);
	if (r < 0)
		return r;
	if (verification.reached.seq < verification.expected.seq)
		return err_set(err, ERR_CORRUPT, "entry %lld is missing: the journal ends before its head, %lld",
			(long long)verification.reached.seq + 1, (long long)verification.expected.seq);
	if (strcmp(verification.reached.hash, verification.expected.hash) != 0)
		return err_set(err, ERR_CORRUPT, "entry %lld is not the one that the head names", (long long)verification.reached.seq);
	r = store->sql->ops->run(store->sql, "SELECT (SELECT MAX(seq) FROM entries), (SELECT seq FROM head WHERE id = 1)", NULL, 0,
		read_two, newest, err);
	if (r < 0)
		return r;
	if (newest[0] != newest[1])
		return err_set(err, ERR_CORRUPT, "entry %lld stands behind the head, %lld", (long long)newest[0], (long long)newest[1]);
	*ret_count = verification.reached.seq;
	memcpy(ret_head, verification.reached.hash, sizeof(verification.reached.hash));
	return 0;
}

static int refold(void *user, const void *ctx, const struct entry *entry, struct err *err)
{
	int r;

	r = projections_fold(user, ctx, entry, err);
	if (r == 0)
		return 0;
	if (err->code == ERR_INVALID || err->code == ERR_CONFLICT)
		(void)err_as(err, ERR_CORRUPT);
	return err_in(err, "entry %lld", (long long)entry->seq);
}

int store_rebuild(struct store *store, struct err *err)
{
	struct handle *handle = handle_of(store);
	int r;

	r = store_begin(store, err);
	if (r == 0)
		r = projections_empty(handle, err);
	if (r == 0)
		r = each_entry(store, refold, handle, err);
	if (r == 0 && handle->registry_changed)
		r = store->sql->ops->run(store->sql,
			"UPDATE registry_file SET changed_seq = (SELECT seq FROM head WHERE id = 1), written_seq = 0 WHERE id = 1", NULL, 0,
			NULL, NULL, err);
	if (r == 0)
		r = store_commit(store, err);
	if (r < 0)
		store_undo(store);
	return r;
}
