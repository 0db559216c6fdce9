/* Walking over keys (redis_walk.h). A script on the server reads a key's type, expiry and content in one step, so that they belong
 * together; the serialised form alone would not do for comparing: a set that was restored
 * may be serialised in another order. Sets and hashes are put in order here; lists, sorted sets and streams have one.
 *
 * A database that is small enough is read by one call of the script: nothing else runs on the server meanwhile, so the answer is of one
 * moment. The server holds everybody up for as long, which the limits keep short (about
 * 0.1 s). A larger one is read in batches by SCAN: what is written meanwhile may be in or not, each key by itself is whole. */
#include "drivers/redis_walk.h"

#include "base/clock.h"
#include "base/text.h"

#ifdef UNSHIP_FAILPOINTS
#define MOMENT_KEYS 20 /* so that a test meets both ways with few keys */
#define BATCH       "8"
#else
#define MOMENT_KEYS 20000
#define BATCH       "64"
#endif
#define MOMENT_BYTES (32u << 20) /* of the server's memory in use */

/* KEYS: these; none: all that match ARGV[2...]. ARGV[1]: "dump" when that is wanted. Answers {name, type, expires, dump, {elements}} per
 * key. A stream's elements are its entries, its last id, and its groups with
 * what each consumer has not acknowledged. */
static const char look_script[] = "local function stream(key)\n"
				  "  local e = {}\n"
				  "  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do\n"
				  "    e[#e + 1] = entry[1]\n"
				  "    e[#e + 1] = tostring(#entry[2])\n"
				  "    for _, part in ipairs(entry[2]) do e[#e + 1] = part end\n"
				  "  end\n"
				  "  local info = redis.call('XINFO', 'STREAM', key)\n"
				  "  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then e[#e + 1] = info[i + 1] end end\n"
				  "  for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do\n"
				  "    local at = {}\n"
				  "    for i = 1, #group, 2 do at[group[i]] = group[i + 1] end\n"
				  "    e[#e + 1] = at['name']\n"
				  "    e[#e + 1] = at['last-delivered-id']\n"
				  "    e[#e + 1] = tostring(at['pending'])\n"
				  "    if at['pending'] > 0 then\n"
				  "      for _, p in ipairs(redis.call('XPENDING', key, at['name'], '-', '+', at['pending'])) do\n"
				  "        e[#e + 1] = p[1]\n"
				  "        e[#e + 1] = p[2]\n"
				  "        e[#e + 1] = tostring(p[4])\n"
				  "      end\n"
				  "    end\n"
				  "  end\n"
				  "  return e\n"
				  "end\n"
				  "local function content(key, kind)\n"
				  "  if kind == 'string' then return {redis.call('GET', key)} end\n"
				  "  if kind == 'list' then return redis.call('LRANGE', key, 0, -1) end\n"
				  "  if kind == 'set' then return redis.call('SMEMBERS', key) end\n"
				  "  if kind == 'zset' then return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end\n"
				  "  if kind == 'hash' then return redis.call('HGETALL', key) end\n"
				  "  if kind == 'stream' then return stream(key) end\n"
				  "  return {redis.call('DUMP', key)}\n"
				  "end\n"
				  "local found = {}\n"
				  "local function add(key)\n"
				  "  local kind = redis.call('TYPE', key).ok\n"
				  "  if kind == 'none' then return end\n"
				  "  local dump = ''\n"
				  "  if ARGV[1] == 'dump' then dump = redis.call('DUMP', key) end\n"
				  "  found[#found + 1] = {key, kind, redis.call('PEXPIRETIME', key), dump, content(key, kind)}\n"
				  "end\n"
				  "for _, key in ipairs(KEYS) do add(key) end\n"
				  "if #KEYS == 0 then\n"
				  "  local seen = {}\n"
				  "  for i = 2, #ARGV do\n"
				  "    local cursor = '0'\n"
				  "    repeat\n"
				  "      local part = redis.call('SCAN', cursor, 'MATCH', ARGV[i], 'COUNT', 1000)\n"
				  "      cursor = part[1]\n"
				  "      for _, key in ipairs(part[2]) do if not seen[key] then seen[key] = true; add(key) end end\n"
				  "    until cursor == '0'\n"
				  "  end\n"
				  "end\n"
				  "return found\n";

static const char *const all_keys[] = { "*", NULL };

static const char *const *patterns_of(const struct redis_keys *keys)
{
	return keys->patterns && keys->patterns[0] ? keys->patterns : all_keys;
}

/* ---- content in one order ---- */

static int compare_elements(const void *a, const void *b)
{
	const redisReply *one = *(redisReply *const *)a, *other = *(redisReply *const *)b;
	int order = memcmp(one->str, other->str, MIN(one->len, other->len));

	return order ? order : (one->len > other->len) - (one->len < other->len);
}

static void put_in_order(const char *type, redisReply *elements)
{
	bool hash = strcmp(type, "hash") == 0;

	if (elements->elements > 1 && (hash || strcmp(type, "set") == 0)) /* a hash: pairs, by their field */
		qsort(elements->element, elements->elements / (hash ? 2 : 1), (hash ? 2 : 1) * sizeof(redisReply *), compare_elements);
}

static void hash_key(struct redis_key *key)
{
	size_t size = strlen(key->type) + 1 + sizeof(int64_t), at;
	unsigned char *text;

	for (size_t i = 0; i < key->elements->elements; i++)
		size += sizeof(uint64_t) + key->elements->element[i]->len;
	text = mem_check(talloc_size(NULL, size));
	at = strlen(key->type) + 1;
	memcpy(text, key->type, at);
	memcpy(text + at, &key->expires_ms, sizeof(key->expires_ms));
	at += sizeof(key->expires_ms);
	for (size_t i = 0; i < key->elements->elements; i++) {
		const redisReply *element = key->elements->element[i];
		uint64_t length = element->len;

		memcpy(text + at, &length, sizeof(length));
		memcpy(text + at + sizeof(length), element->str, element->len);
		at += sizeof(length) + element->len;
	}
	hash_blake2b_hex(text, size, key->hash);
	talloc_free(text);
}

static bool is_text(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static bool is_key(const redisReply *reply)
{
	redisReply *const *part = reply->element;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5 || !is_text(part[0]) || !is_text(part[1]) ||
		part[2]->type != REDIS_REPLY_INTEGER || !is_text(part[3]) || part[4]->type != REDIS_REPLY_ARRAY)
		return false;
	for (size_t i = 0; i < part[4]->elements; i++)
		if (!is_text(part[4]->element[i]))
			return false;
	return true;
}

static int tell_keys(const redisReply *found, bool want_dump, redis_key_handler handler, void *user, struct err *err)
{
	int r = 0;

	if (found->type != REDIS_REPLY_ARRAY)
		return err_set(err, ERR_DRIVER, "the server's answer is no list of keys");
	for (size_t i = 0; r == 0 && i < found->elements; i++) {
		redisReply *const *part = found->element[i]->element;
		struct redis_key key;

		if (!is_key(found->element[i]))
			return err_set(err, ERR_DRIVER, "the server's answer is not of the form that was asked for");
		key = (struct redis_key){ .name = part[0]->str,
			.name_size = part[0]->len,
			.type = part[1]->str,
			.expires_ms = MAX((int64_t)part[2]->integer, (int64_t)0),
			.dump = want_dump ? part[3]->str : NULL,
			.dump_size = part[3]->len,
			.elements = part[4] };
		put_in_order(key.type, part[4]);
		hash_key(&key);
		r = handler(user, &key, err);
	}
	return r;
}

/* ---- the two ways ---- */

int redis_count_keys(struct redis *redis, int64_t *ret, struct err *err)
{
	_cleanup_(redis_free_reply) redisReply *reply = NULL;
	_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "DBSIZE", NULL);
	int r = redis_call(redis, words, &reply, err);

	if (r == 0)
		*ret = reply->integer;
	return r;
}

static int is_small(struct redis *redis, bool *ret, struct err *err)
{
	const char *used = redis_info(redis, "used_memory");
	int64_t count = 0;
	int r = redis_count_keys(redis, &count, err);

	*ret = count <= MOMENT_KEYS && used && strtoull(used, NULL, 10) <= MOMENT_BYTES;
	return r;
}

static int walk_at_once(const struct redis_keys *keys, bool want_dump, redis_key_handler handler, void *user, struct err *err)
{
	_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "EVAL", look_script, "0", want_dump ? "dump" : "", NULL);
	_cleanup_(redis_free_reply) redisReply *found = NULL;
	int r;

	for (const char *const *pattern = patterns_of(keys); *pattern; pattern++)
		redis_words_add(words, *pattern, strlen(*pattern));
	r = redis_call(keys->redis, words, &found, err);
	return r < 0 ? r : tell_keys(found, want_dump, handler, user, err);
}

struct walking {
	const struct redis_keys *keys;
	bool want_dump;
	redis_key_handler handler;
	void *user;
};

static int walk_batch(void *user, const redisReply *names, struct err *err)
{
	const struct walking *walking = user;
	_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "EVAL", look_script, NULL);
	_cleanup_(redis_free_reply) redisReply *found = NULL;
	int r;

	redis_words_add_int(words, (int64_t)names->elements);
	for (size_t i = 0; i < names->elements; i++)
		redis_words_add(words, names->element[i]->str, names->element[i]->len);
	redis_words_add(words, walking->want_dump ? "dump" : "", walking->want_dump ? 4 : 0);
	r = redis_call(walking->keys->redis, words, &found, err);
	return r < 0 ? r : tell_keys(found, walking->want_dump, walking->handler, walking->user, err);
}

static int scan_pattern(const struct redis_keys *keys, const char *pattern, redis_names_handler handler, void *user, struct err *err)
{
	_cleanup_talloc_ char *cursor = mem_strdup(NULL, "0");
	int r = 0;

	do {
		_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "SCAN", cursor, "MATCH", pattern, "COUNT", BATCH, NULL);
		_cleanup_(redis_free_reply) redisReply *part = NULL;

		if (clock_mono_ms() >= keys->call->deadline_ms)
			return err_set(err, ERR_TIMEOUT, "the step's time is over");
		r = redis_call(keys->redis, words, &part, err);
		if (r < 0)
			return r;
		if (part->type != REDIS_REPLY_ARRAY || part->elements != 2 || !is_text(part->element[0]) ||
			part->element[1]->type != REDIS_REPLY_ARRAY)
			return err_set(err, ERR_DRIVER, "SCAN: the server's answer is not of its form");
		talloc_free(cursor);
		cursor = mem_strdup(NULL, part->element[0]->str);
		if (part->element[1]->elements > 0)
			r = handler(user, part->element[1], err);
	} while (r == 0 && strcmp(cursor, "0") != 0);
	return r;
}

int redis_scan(const struct redis_keys *keys, redis_names_handler handler, void *user, struct err *err)
{
	int r = 0;

	for (const char *const *pattern = patterns_of(keys); r == 0 && *pattern; pattern++)
		r = scan_pattern(keys, *pattern, handler, user, err);
	return r;
}

int redis_walk(const struct redis_keys *keys, bool want_dump, bool *ret_moment, redis_key_handler handler, void *user, struct err *err)
{
	struct walking walking = { .keys = keys, .want_dump = want_dump, .handler = handler, .user = user };
	bool small;
	int r = is_small(keys->redis, &small, err);

	if (r < 0)
		return r;
	if (ret_moment)
		*ret_moment = small;
	return small ? walk_at_once(keys, want_dump, handler, user, err) : redis_scan(keys, walk_batch, &walking, err);
}
