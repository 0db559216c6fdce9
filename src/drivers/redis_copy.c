/* Copies of a Redis database (redis_copy.h). A copy's folder has database.redis, a record per key (sizes, expiry, hash of the content,
 * name, and what DUMP gave), and redis.json, which is written after it and holds its
 * checksum; beside them the row list and the facts that every database driver writes.
 *
 * Restoring is one transaction (MULTI) where the copy and the database are small enough, so that others see the old content or the new
 * one. A larger copy goes in portions: RESTORE REPLACE of a key is safe to repeat, and
 * so is removing what the copy lacks; killed in the middle, the rest is done by the next attempt. Expiry is restored as the moment at
 * which a key ends (ABSTTL), not as the time that was left.
 *
 * In memory is kept, per key, its hash and that of its content: 72 bytes. One thread. */
#include "drivers/redis_copy.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"

#define ABOUT_FILE        "redis.json"
#define ABOUT_MAX         65536
#define NAME_BYTES        16
#define SIZE_MAX_OF_VALUE (1ULL << 32)
#define VALUE_SHOWN_MAX   65536 /* bytes of a value that the ledger shows beside its serialised form */
#ifdef UNSHIP_FAILPOINTS
#define AT_ONCE_KEYS 20 /* so that a test meets both ways with few keys */
#define PORTION      8
#else
#define AT_ONCE_KEYS 20000
#define PORTION      256
#endif
#define AT_ONCE_BYTES (32 << 20)
#define PORTION_BYTES (8 << 20)

/* ---- known keys ---- */

struct known {
	unsigned char name[NAME_BYTES], content[HASH_SIZE];
	int64_t expires_ms;
	bool used, seen;
};
struct known_set {
	struct known *slots;
	size_t room, count;
};

static struct known_set *known_new(const void *ctx)
{
	struct known_set *set = mem_zero(ctx, struct known_set);

	set->room = 1024;
	set->slots = mem_array(set, struct known, set->room);
	return set;
}

static struct known *slot_of(struct known *slots, size_t room, const unsigned char name[NAME_BYTES])
{
	uint64_t first;
	size_t at;

	memcpy(&first, name, sizeof(first));
	for (at = first % room; slots[at].used && memcmp(slots[at].name, name, NAME_BYTES) != 0; at = (at + 1) % room)
		continue;
	return &slots[at];
}

static void grow(struct known_set *set)
{
	struct known *wider = mem_array(set, struct known, 2 * set->room);

	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i].used)
			*slot_of(wider, 2 * set->room, set->slots[i].name) = set->slots[i];
	talloc_free(set->slots);
	set->slots = wider;
	set->room *= 2;
}

static struct known *known_find(struct known_set *set, const void *name, size_t size)
{
	unsigned char hash[HASH_SIZE];
	struct known *slot;

	hash_sha256(name, size, hash);
	slot = slot_of(set->slots, set->room, hash);
	return slot->used ? slot : NULL;
}

/* False when it is there already. */
static bool known_add(struct known_set *set, const void *name, size_t size, const struct known *what)
{
	unsigned char hash[HASH_SIZE];
	struct known *slot;

	if (4 * set->count >= 3 * set->room)
		grow(set);
	hash_sha256(name, size, hash);
	slot = slot_of(set->slots, set->room, hash);
	if (slot->used)
		return false;
	*slot = *what;
	memcpy(slot->name, hash, NAME_BYTES);
	slot->used = true;
	set->count++;
	return true;
}

static struct known known_of(const struct redis_key *key)
{
	struct known known = { .expires_ms = key->expires_ms };
	struct err err = ERR_INIT;

	assert_always(text_unhex(key->hash, known.content, HASH_SIZE, &err) == 0);
	return known;
}

/* ---- records ---- */

struct record_head {
	uint64_t name_size, dump_size;
	int64_t expires_ms;
	unsigned char content[HASH_SIZE];
};
struct record {
	struct record_head head;
	char *name, *dump;
};

static int write_record(FILE *file, const struct redis_key *key, const struct known *known)
{
	struct record_head head = { .name_size = htole64(key->name_size),
		.dump_size = htole64(key->dump_size),
		.expires_ms = (int64_t)htole64((uint64_t)key->expires_ms) };

	memcpy(head.content, known->content, HASH_SIZE);
	return fwrite(&head, sizeof(head), 1, file) == 1 && fwrite(key->name, 1, key->name_size, file) == key->name_size &&
			fwrite(key->dump, 1, key->dump_size, file) == key->dump_size
		? 0
		: -1;
}

static int cut_short(FILE *file, struct err *err)
{
	return ferror(file) ? err_errno(err, errno, "the copy") : err_set(err, ERR_CORRUPT, "the copy ends in the middle of a key");
}

/* 1 and the next record in ctx, 0 at the end. */
static int read_record(const void *ctx, FILE *file, struct record *ret, struct err *err)
{
	struct record_head *head = &ret->head;

	if (fread(head, sizeof(*head), 1, file) != 1)
		return feof(file) && !ferror(file) ? 0 : cut_short(file, err);
	head->name_size = le64toh(head->name_size);
	head->dump_size = le64toh(head->dump_size);
	head->expires_ms = (int64_t)le64toh((uint64_t)head->expires_ms);
	if (head->name_size > SIZE_MAX_OF_VALUE || head->dump_size > SIZE_MAX_OF_VALUE)
		return err_set(err, ERR_CORRUPT, "the copy has a key of an impossible size");
	ret->name = mem_check(talloc_size(ctx, head->name_size + 1));
	ret->dump = mem_check(talloc_size(ctx, head->dump_size + 1));
	if (fread(ret->name, 1, head->name_size, file) != head->name_size || fread(ret->dump, 1, head->dump_size, file) != head->dump_size)
		return cut_short(file, err);
	ret->name[head->name_size] = 0;
	return 1;
}

static bool matches(const struct redis_copy *copy, const char *name)
{
	return !copy->pattern || text_glob(copy->pattern, name);
}

typedef int (*record_handler)(void *user, const struct record *record, struct err *err);

/* The records that match. The record's memory ends with the handler. */
static int each_record(const struct redis_copy *copy, record_handler handler, void *user, struct err *err)
{
	_cleanup_talloc_ char *path = fs_join(NULL, copy->dir, REDIS_COPY_FILE);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	int r;

	if (!file)
		return err_errno(err, errno, "%s", path);
	for (;;) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct record record;

		r = read_record(ctx, file, &record, err);
		if (r <= 0)
			return r;
		r = matches(copy, record.name) ? handler(user, &record, err) : 0;
		if (r != 0)
			return r;
	}
}

static int add_record(void *user, const struct record *record, struct err *err)
{
	struct known known = { .expires_ms = record->head.expires_ms };

	(void)err;
	memcpy(known.content, record->head.content, HASH_SIZE);
	(void)known_add(user, record->name, record->head.name_size, &known);
	return 0;
}

/* ---- writing ---- */

/* What is no UTF-8 is told as base64. New reference. */
static json_t *bytes_json(const char *bytes, size_t size)
{
	_cleanup_talloc_ char *text = NULL;

	if (text_is_utf8(bytes, size) && !memchr(bytes, 0, size))
		return json_stringn(bytes, size);
	text = text_base64(NULL, bytes, size);
	return json_pack("{s:s}", "base64", text);
}

static char *row_key(const void *ctx, const char *name, size_t size)
{
	json_t *array = json_pack("[o]", bytes_json(name, size));
	char *text = json_canonical(ctx, array);

	json_decref(array);
	return text;
}

struct writing {
	FILE *file;
	struct row_list *rows;
	struct known_set *seen;
};

static int write_key(void *user, const struct redis_key *key, struct err *err)
{
	struct writing *writing = user;
	struct known known = known_of(key);
	_cleanup_talloc_ char *row = NULL;

	if (!known_add(writing->seen, key->name, key->name_size, &known)) /* SCAN may name a key twice */
		return 0;
	if (write_record(writing->file, key, &known) < 0)
		return err_errno(err, errno, "the copy");
	row = row_key(NULL, key->name, key->name_size);
	return row_list_add(writing->rows, row, key->hash, err);
}

static int write_records(const struct redis_keys *keys, const char *path, struct writing *writing, bool *ret_moment, struct err *err)
{
	_cleanup_talloc_ char *partial = mem_printf(NULL, "%s.partial", path);
	_cleanup_fclose_ FILE *file = fopen(partial, "we");
	int r;

	if (!file || fchmod(fileno(file), 0600) < 0)
		return err_errno(err, errno, "%s", partial);
	writing->file = file;
	r = redis_walk(keys, true, ret_moment, write_key, writing, err);
	if (r < 0)
		return r;
	if (fflush(file) != 0 || fsync(fileno(file)) < 0 || rename(partial, path) < 0)
		return err_errno(err, errno, "%s", path);
	return 0;
}

static int write_about(const struct redis_keys *keys, const char *dir, size_t count, bool moment, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char checksum[HASH_HEX_SIZE], *text;
	uint64_t bytes;
	json_t *about;
	int r;

	r = hash_blake2b_file(fs_join(ctx, dir, REDIS_COPY_FILE), checksum, &bytes, err);
	if (r < 0)
		return r;
	about = json_make(ctx, "{s:s, s:b, s:I, s:I, s:s}", "redis", redis_version(keys->redis), "moment", moment, "keys",
		(json_int_t)count, "bytes", (json_int_t)bytes, "checksum", checksum);
	text = json_pretty(ctx, about);
	return fs_write_atomic(fs_join(ctx, dir, ABOUT_FILE), text, strlen(text), 0600, err);
}

int redis_copy_write(const struct redis_keys *keys, const char *dir, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	_cleanup_(row_list_abort) struct row_list *rows = NULL;
	struct writing writing = { .seen = known_new(ctx) };
	char checksum[HASH_HEX_SIZE];
	json_t *tables = json_make(ctx, "{}");
	int64_t row_count;
	bool moment;
	int r;

	r = row_list_open(NULL, dir, REDIS_TABLE, &rows, err);
	writing.rows = rows;
	if (r == 0)
		r = write_records(keys, fs_join(ctx, dir, REDIS_COPY_FILE), &writing, &moment, err);
	if (r == 0)
		r = write_about(keys, dir, writing.seen->count, moment, err);
	if (r == 0)
		r = row_list_close(take_pointer(rows), &row_count, checksum, err);
	if (r < 0)
		return r;
	if (!moment)
		call_log(keys->call, LOG_INFO,
			"the database is too large to be copied at one moment: each of its %lld keys is as it was when it was read",
			(long long)row_count);
	database_put_facts(tables, REDIS_TABLE, row_count, checksum);
	return database_write_facts(dir, tables, err);
}

int redis_copy_verify(const void *ctx, const char *dir, struct redis_copy_facts *ret, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	char *path, *text, checksum[HASH_HEX_SIZE];
	struct err why = ERR_INIT;
	json_t *about;
	size_t size;
	int r;

	r = database_find_copy(tmp, dir, REDIS_COPY_FILE, &path, err);
	if (r < 0)
		return r;
	r = fs_read(tmp, fs_join(tmp, dir, ABOUT_FILE), ABOUT_MAX, &text, &size, &why);
	if (r == 0)
		r = json_parse(tmp, text, size, ABOUT_MAX, &about, &why);
	if (r < 0)
		return err_set(err, ERR_CORRUPT, "the copy in %s is not whole: %s", dir, why.text);
	r = hash_blake2b_file(path, checksum, NULL, err);
	if (r == 0 && !hash_hex_is(checksum, json_str(about, "checksum", "")))
		r = err_set(err, ERR_CORRUPT, "%s is not as it was written: its checksum is another", path);
	if (r < 0)
		return r;
	*ret = (struct redis_copy_facts){ .version = mem_strdup(ctx, json_str(about, "redis", "")),
		.keys = json_int(about, "keys", 0),
		.bytes = json_int(about, "bytes", 0),
		.moment = json_flag(about, "moment", false) };
	return 0;
}

/* ---- comparing ---- */

static int server_time(struct redis *redis, int64_t *ret, struct err *err)
{
	_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "TIME", NULL);
	_cleanup_(redis_free_reply) redisReply *reply = NULL;
	int r = redis_call(redis, words, &reply, err);

	if (r < 0)
		return r;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !reply->element[0]->str || !reply->element[1]->str)
		return err_set(err, ERR_DRIVER, "TIME: the server's answer is not of its form");
	*ret = strtoll(reply->element[0]->str, NULL, 10) * 1000 + strtoll(reply->element[1]->str, NULL, 10) / 1000;
	return 0;
}

static bool is_missing(const struct known *known, int64_t now_ms)
{
	return known->used && !known->seen && (known->expires_ms == 0 || known->expires_ms > now_ms);
}

struct comparing {
	const struct redis_keys *keys;
	const struct redis_copy *copy;
	struct known_set *set;
	struct ledger *ledger; /* NULL: the first difference ends it */
	int64_t now_ms;
	bool differs;
};

static json_t *ledger_row(const struct redis_key *key)
{
	json_t *row = json_pack("{s:o, s:s}", "key", bytes_json(key->name, key->name_size), "type", key->type), *value = json_array();
	_cleanup_talloc_ char *dump = text_base64(NULL, key->dump, key->dump_size);

	if (key->expires_ms > 0) {
		_cleanup_talloc_ char *ends = clock_format(NULL, key->expires_ms);

		json_put_str(row, "expiresAt", ends);
	}
	for (size_t i = 0; key->dump_size <= VALUE_SHOWN_MAX && i < key->elements->elements; i++)
		(void)json_array_append_new(value, bytes_json(key->elements->element[i]->str, key->elements->element[i]->len));
	if (key->dump_size <= VALUE_SHOWN_MAX)
		json_put(row, "value", strcmp(key->type, "string") == 0 ? json_array_get(value, 0) : value);
	json_decref(value);
	json_put_str(row, "dump", dump);
	return row;
}

static int compare_key(void *user, const struct redis_key *key, struct err *err)
{
	struct comparing *comparing = user;
	struct known *then = known_find(comparing->set, key->name, key->name_size), now = known_of(key);
	_cleanup_talloc_ char *row_name = NULL;
	json_t *row = NULL;
	int r;

	if (!matches(comparing->copy, key->name) || (then && then->seen))
		return 0;
	if (then)
		then->seen = true;
	if (then && memcmp(then->content, now.content, HASH_SIZE) == 0)
		return 0;
	comparing->differs = true;
	if (!comparing->ledger)
		return 1;
	row_name = row_key(NULL, key->name, key->name_size);
	if (key->dump && ledger_keeps(comparing->ledger, REDIS_TABLE))
		row = ledger_row(key);
	r = ledger_add(comparing->ledger, REDIS_TABLE, then ? ROW_CHANGED : ROW_ADDED, row_name, 1, row, err);
	json_decref(row);
	return r;
}

static int add_missing(void *user, const struct record *record, struct err *err)
{
	struct comparing *comparing = user;
	struct known *known = known_find(comparing->set, record->name, record->head.name_size);
	_cleanup_talloc_ char *row_name = NULL;

	if (!known || !is_missing(known, comparing->now_ms))
		return 0;
	row_name = row_key(NULL, record->name, record->head.name_size);
	return ledger_add(comparing->ledger, REDIS_TABLE, ROW_REMOVED, row_name, 1, NULL, err);
}

/* With a ledger: what is lost goes there. */
static int compare(struct comparing *comparing, struct err *err)
{
	const struct redis_keys *keys = comparing->keys;
	int r;

	r = redis_walk(keys, comparing->ledger && keys->call->ledger_dir, NULL, compare_key, comparing, err);
	/* The time after the walk: a key that ended meanwhile is not missing. */
	if (r == 0)
		r = server_time(keys->redis, &comparing->now_ms, err);
	if (r != 0)
		return MIN(r, 0);
	if (comparing->ledger)
		return each_record(comparing->copy, add_missing, comparing, err);
	for (size_t i = 0; i < comparing->set->room; i++)
		comparing->differs = comparing->differs || is_missing(&comparing->set->slots[i], comparing->now_ms);
	return 0;
}

int redis_copy_equal(const struct redis_keys *keys, const struct redis_copy *copy, int *ret, struct err *err)
{
	_cleanup_talloc_ struct known_set *set = known_new(NULL);
	struct comparing comparing = { .keys = keys, .copy = copy, .set = set };
	struct redis_copy_facts facts;
	int r;

	r = redis_copy_verify(keys->call->ctx, copy->dir, &facts, err);
	if (r == 0)
		r = each_record(copy, add_record, set, err);
	if (r == 0)
		r = compare(&comparing, err);
	if (r == 0)
		*ret = !comparing.differs;
	return r;
}

/* ---- restoring ---- */

struct restoring {
	const struct redis_keys *keys;
	const struct redis_copy *copy;
	struct known_set *set;
	struct redis_copy_facts facts;
	size_t sent, sent_bytes; /* commands without answer yet */
	int64_t done;
	bool at_once;
};

/* The answers to what was sent. */
static int take_answers(struct restoring *restoring, struct err *err)
{
	int r = 0;

	for (; restoring->sent > 0; restoring->sent--) {
		_cleanup_(redis_free_reply) redisReply *reply = NULL;

		r = redis_receive(restoring->keys->redis, &reply, err);
		if (r < 0)
			return r;
	}
	restoring->sent_bytes = 0;
	FAILPOINT("redis.portion_written");
	if (clock_mono_ms() >= restoring->keys->call->deadline_ms)
		return err_set(err, ERR_TIMEOUT, "the step's time is over");
	return 0;
}

static int send_one(struct restoring *restoring, const struct redis_words *words, size_t bytes, struct err *err)
{
	int r = redis_send(restoring->keys->redis, words, err);

	restoring->sent++;
	restoring->sent_bytes += bytes;
	if (r < 0 || restoring->at_once || (restoring->sent < PORTION && restoring->sent_bytes < PORTION_BYTES))
		return r;
	return take_answers(restoring, err);
}

static int send_record(void *user, const struct record *record, struct err *err)
{
	struct restoring *restoring = user;
	_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "RESTORE", NULL);

	redis_words_add(words, record->name, record->head.name_size);
	redis_words_add_int(words, record->head.expires_ms);
	redis_words_add(words, record->dump, record->head.dump_size);
	redis_words_add(words, "REPLACE", 7);
	redis_words_add(words, "ABSTTL", 6);
	if (++restoring->done % PORTION == 0)
		call_progress(restoring->keys->call, (double)restoring->done / (double)MAX(restoring->facts.keys, (int64_t)1),
			"restoring keys");
	return send_one(restoring, words, record->head.dump_size, err);
}

static int send_removal(void *user, const redisReply *names, struct err *err)
{
	struct restoring *restoring = user;
	int r = 0;

	for (size_t i = 0; r == 0 && i < names->elements; i++) {
		const redisReply *name = names->element[i];
		_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "UNLINK", NULL);

		if (!matches(restoring->copy, name->str) || known_find(restoring->set, name->str, name->len))
			continue;
		redis_words_add(words, name->str, name->len);
		r = send_one(restoring, words, name->len, err);
	}
	/* The next part of the scan is asked for on the same connection. */
	return r == 0 && restoring->sent > 0 ? take_answers(restoring, err) : r;
}

/* The names that the copy lacks, before a transaction in which nothing can be asked. */
struct surplus {
	struct restoring *restoring;
	struct redis_words *names;
};

static int note_surplus(void *user, const redisReply *names, struct err *err)
{
	struct surplus *surplus = user;

	(void)err;
	for (size_t i = 0; i < names->elements; i++) {
		const redisReply *name = names->element[i];

		if (matches(surplus->restoring->copy, name->str) && !known_find(surplus->restoring->set, name->str, name->len))
			redis_words_add(surplus->names, mem_dup(surplus->names, name->str, name->len + 1), name->len);
	}
	return 0;
}

/* What the commands of a transaction said; a failure of one does not undo the others. */
static int read_results(struct restoring *restoring, struct err *err)
{
	_cleanup_talloc_ struct redis_words *exec = redis_words(NULL, "EXEC", NULL);
	_cleanup_(redis_free_reply) redisReply *results = NULL;
	int r = redis_call(restoring->keys->redis, exec, &results, err);

	if (r < 0)
		return r;
	if (results->type != REDIS_REPLY_ARRAY)
		return err_set(err, ERR_FAILED, "the server did not carry the transaction out");
	for (size_t i = 0; i < results->elements; i++)
		if (results->element[i]->type == REDIS_REPLY_ERROR)
			return err_set(err, ERR_FAILED, "a key could not be restored: %.200s", results->element[i]->str);
	return 0;
}

static int restore_at_once(struct restoring *restoring, struct err *err)
{
	_cleanup_talloc_ struct redis_words *multi = redis_words(NULL, "MULTI", NULL), *surplus_names = redis_words(NULL, "UNLINK", NULL);
	struct surplus surplus = { restoring, surplus_names };
	int r;

	r = redis_scan(restoring->keys, note_surplus, &surplus, err);
	if (r == 0)
		r = send_one(restoring, multi, 0, err);
	if (r == 0)
		r = each_record(restoring->copy, send_record, restoring, err);
	if (r == 0 && surplus_names->count > 1)
		r = send_one(restoring, surplus_names, 0, err);
	if (r == 0)
		r = take_answers(restoring, err);
	return r < 0 ? r : read_results(restoring, err);
}

static int restore_in_portions(struct restoring *restoring, struct err *err)
{
	int r = each_record(restoring->copy, send_record, restoring, err);

	if (r == 0)
		r = take_answers(restoring, err);
	return r < 0 ? r : redis_scan(restoring->keys, send_removal, restoring, err);
}

/* Does this server take what that one wrote? Tried with the first key under another name, which nobody sees: it is made and removed in
 * one transaction. */
static int try_first(void *user, const struct record *record, struct err *err)
{
	struct restoring *restoring = user;
	struct redis *redis = restoring->keys->redis;
	_cleanup_talloc_ struct redis_words *multi = redis_words(NULL, "MULTI", NULL), *restore = redis_words(NULL, "RESTORE", NULL),
					    *unlink_it = redis_words(NULL, "UNLINK", NULL);
	_cleanup_talloc_ char *name = mem_check(talloc_size(NULL, record->head.name_size + 7));
	int r;

	memcpy(name, record->name, record->head.name_size);
	memcpy(name + record->head.name_size, ":unship", 7);
	redis_words_add(restore, name, record->head.name_size + 7);
	redis_words_add(restore, "0", 1);
	redis_words_add(restore, record->dump, record->head.dump_size);
	redis_words_add(restore, "REPLACE", 7);
	redis_words_add(unlink_it, name, record->head.name_size + 7);
	r = redis_do(redis, multi, err);
	if (r == 0)
		r = redis_do(redis, restore, err);
	if (r == 0)
		r = redis_do(redis, unlink_it, err);
	if (r == 0)
		r = read_results(restoring, err);
	if (r < 0)
		(void)err_in(err, "the copy is of redis %s, the server is %s: nothing was changed", restoring->facts.version,
			redis_version(redis));
	return r < 0 ? r : 1;
}

static int prepare(struct restoring *restoring, struct ledger *ledger, struct err *err)
{
	struct comparing comparing = { .keys = restoring->keys, .copy = restoring->copy, .set = restoring->set, .ledger = ledger };
	int r;

	r = redis_copy_verify(restoring->keys->call->ctx, restoring->copy->dir, &restoring->facts, err);
	if (r == 0)
		r = each_record(restoring->copy, add_record, restoring->set, err);
	if (r == 0)
		r = each_record(restoring->copy, try_first, restoring, err);
	return r < 0 ? r : compare(&comparing, err);
}

static int restore_one(struct restoring *restoring, struct err *err)
{
	int64_t count = 0;
	int r = redis_count_keys(restoring->keys->redis, &count, err);

	if (r < 0)
		return r;
	restoring->at_once = count <= AT_ONCE_KEYS && restoring->facts.keys <= AT_ONCE_KEYS && restoring->facts.bytes <= AT_ONCE_BYTES;
	r = restoring->at_once ? restore_at_once(restoring, err) : restore_in_portions(restoring, err);
	if (r == 0)
		call_log(restoring->keys->call, LOG_INFO, "restored %lld keys%s", (long long)restoring->done,
			restoring->at_once ? ", in one transaction" : "");
	FAILPOINT("redis.restored");
	return r;
}

int redis_copy_restore(const struct redis_keys *keys, const struct redis_copy *copies, size_t count, json_t **ret_lost, struct err *err)
{
	struct restoring *restoring = mem_array(keys->call->ctx, struct restoring, count);
	const char *since = "";
	_cleanup_(ledger_abort) struct ledger *ledger = NULL;
	struct err ignored = ERR_INIT;
	json_t *tables;
	int r;

	if (database_read_facts(keys->call->ctx, copies[0].dir, &tables, &since, &ignored) < 0)
		since = "";
	r = ledger_open(keys->call, since, &ledger, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		restoring[i] = (struct restoring){ .keys = keys, .copy = &copies[i], .set = known_new(restoring) };
		r = prepare(&restoring[i], ledger, err);
	}
	if (r == 0)
		r = ledger_close(&ledger, ret_lost, err);
	FAILPOINT("redis.ledger_written");
	for (size_t i = 0; r == 0 && i < count; i++)
		r = restore_one(&restoring[i], err);
	return r;
}
