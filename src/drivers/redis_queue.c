/* Work queues in Redis (redis_queue.h). Lists: a consumer moves an item from the pending list to one of its own (LMOVE, BRPOPLPUSH) and
 * removes it there when it is done, so what stands there is in work, or was when its
 * consumer ended. LMOVE brings each back; the newest first, so that the oldest is next again. Streams: what a consumer of the group has
 * not acknowledged is added anew and the old entry removed, by a script; with a second
 * group that would hand it to the others twice, so such a stream is refused. One thread. */
#include "drivers/redis_queue.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "data/json.h"

#ifdef UNSHIP_FAILPOINTS
#define PORTION 4
#else
#define PORTION 100
#endif

struct queue_file {
	const char *pending, *takes, *stream, *group;
	const char **processing;
};
/* clang-format off */
static const struct field queue_fields[] = {
	FIELD_STR(struct queue_file, pending, OPTIONAL, "list that consumers take from"),
	FIELD_LIST(struct queue_file, processing, OPTIONAL, "lists of what is being worked on: names or patterns"),
	FIELD_CHOICE(struct queue_file, takes, DEFAULT("right"), "left|right", "end of the pending list that consumers take from"),
	FIELD_STR(struct queue_file, stream, OPTIONAL, "stream, instead of lists"),
	FIELD_STR(struct queue_file, group, OPTIONAL, "group of its consumers"),
	FIELD_END
};
/* clang-format on */

static int read_queue(const void *ctx, const char *name, json_t *object, struct redis_queue *ret, struct err *err)
{
	struct problems *problems = problems_new(ctx, NULL);
	struct queue_file file;
	int r;

	fields_parse(ctx, queue_fields, object, "", NULL, false, &file, problems);
	r = problems_result(problems, err);
	if (r == 0 && !(file.pending && file.processing && file.processing[0]) == !(file.stream && file.group))
		r = err_set(err, ERR_INVALID, "either `pending` and `processing`, or `stream` and `group` must be given");
	for (const char **list = file.processing; r == 0 && file.pending && list && *list; list++)
		if (strcmp(*list, file.pending) == 0)
			r = err_set(err, ERR_INVALID, "`processing` names the pending list itself");
	if (r < 0)
		return err_in(err, "queue '%s'", name);
	*ret = (struct redis_queue){ .name = name,
		.pending = file.pending,
		.processing = file.processing,
		.takes = file.takes,
		.stream = file.pending ? NULL : file.stream,
		.group = file.group };
	return 0;
}

int redis_read_queues(const void *ctx, json_t *queues, json_t *only, struct redis_queue **ret, size_t *ret_count, struct err *err)
{
	size_t count = 0, i;
	const char *name;
	json_t *object, *wanted;
	int r = 0;

	*ret = mem_array(ctx, struct redis_queue, json_object_size(queues) + json_array_size(only));
	if (json_is_array(only)) {
		json_array_foreach(only, i, wanted) {
			name = json_string_value(wanted);
			object = name ? json_object_get(queues, name) : NULL;
			if (!object)
				return err_set(err, ERR_NOT_FOUND, "there is no queue '%s' in `queues`", name ? name : "");
			r = read_queue(ctx, name, object, &(*ret)[count++], err);
			if (r < 0)
				return r;
		}
	} else {
		json_object_foreach(queues, name, object) {
			r = read_queue(ctx, name, object, &(*ret)[count++], err);
			if (r < 0)
				return r;
		}
	}
	*ret_count = count;
	return 0;
}

/* ---- lists ---- */

/* A number that a command answers; `missing` when it answers nothing. */
static int ask_number(struct redis *redis, const struct redis_words *words, int64_t missing, int64_t *ret, struct err *err)
{
	_cleanup_(redis_free_reply) redisReply *reply = NULL;
	int r = redis_call(redis, words, &reply, err);

	if (r == 0)
		*ret = reply->type == REDIS_REPLY_INTEGER ? reply->integer : missing;
	return r;
}

static int list_length(struct redis *redis, const char *name, size_t size, int64_t *ret, struct err *err)
{
	_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "LLEN", NULL);

	redis_words_add(words, name, size);
	return ask_number(redis, words, 0, ret, err);
}

struct taking {
	const struct redis_queue *queue;
	struct redis_words *lists; /* names of the lists that hold what was taken, each once */
};

static int note_lists(void *user, const redisReply *names, struct err *err)
{
	struct taking *taking = user;

	(void)err;
	for (size_t i = 0; i < names->elements; i++) {
		const redisReply *name = names->element[i];
		bool known = name->len == strlen(taking->queue->pending) && memcmp(name->str, taking->queue->pending, name->len) == 0;

		for (size_t k = 0; !known && k < taking->lists->count; k++)
			known = taking->lists->sizes[k] == name->len && memcmp(taking->lists->words[k], name->str, name->len) == 0;
		if (!known)
			redis_words_add(taking->lists, mem_dup(taking->lists, name->str, name->len + 1), name->len);
	}
	return 0;
}

static int find_lists(const void *ctx, const struct redis_keys *keys, const struct redis_queue *queue, struct redis_words **ret,
	struct err *err)
{
	const struct redis_keys wanted = { .call = keys->call, .redis = keys->redis, .patterns = queue->processing };
	struct taking taking = { .queue = queue, .lists = mem_zero(ctx, struct redis_words) };

	*ret = taking.lists;
	return redis_scan(&wanted, note_lists, &taking, err);
}

/* So many items, and no more: with a consumer that takes them at once again it would never end. */
static int move_back(const struct redis_keys *keys, const struct redis_queue *queue, const char *list, size_t size, int64_t count,
	int64_t *moved, struct err *err)
{
	bool right = strcmp(queue->takes, "right") == 0;

	while (count > 0) {
		_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "LMOVE", NULL);
		int64_t portion = MIN(count, (int64_t)PORTION);
		int r = 0;

		redis_words_add(words, list, size);
		redis_words_add(words, queue->pending, strlen(queue->pending));
		redis_words_add(words, right ? "LEFT" : "RIGHT", right ? 4 : 5);
		redis_words_add(words, right ? "RIGHT" : "LEFT", right ? 5 : 4);
		for (int64_t i = 0; r == 0 && i < portion; i++)
			r = redis_send(keys->redis, words, err);
		for (int64_t i = 0; r == 0 && i < portion; i++) {
			_cleanup_(redis_free_reply) redisReply *reply = NULL;

			r = redis_receive(keys->redis, &reply, err);
			*moved += r == 0 && reply->type == REDIS_REPLY_STRING;
		}
		if (r < 0)
			return r;
		count -= portion;
		FAILPOINT("redis.requeued_some");
	}
	return 0;
}

/* ---- streams ---- */

/* KEYS[1] the stream, ARGV[1] the group, ARGV[2] at most so many. What was trimmed away in the meantime is only acknowledged. */
static const char requeue_script[] =
	"if #redis.call('XINFO', 'GROUPS', KEYS[1]) > 1 then\n"
	"  return redis.error_reply('ERR the stream has several groups: adding an entry anew would give it to all of them')\n"
	"end\n"
	"local taken = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[2])\n"
	"for _, one in ipairs(taken) do\n"
	"  local entry = redis.call('XRANGE', KEYS[1], one[1], one[1])[1]\n"
	"  if entry then redis.call('XADD', KEYS[1], '*', unpack(entry[2])) end\n"
	"  redis.call('XACK', KEYS[1], ARGV[1], one[1])\n"
	"  redis.call('XDEL', KEYS[1], one[1])\n"
	"end\n"
	"return #taken\n";

/* {taken, waiting}, where waiting is -1 when the server cannot tell; nothing for a stream or group that is not there. */
static const char count_script[] = "if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0} end\n"
				   "for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do\n"
				   "  local at = {}\n"
				   "  for i = 1, #group, 2 do at[group[i]] = group[i + 1] end\n"
				   "  if at['name'] == ARGV[1] then return {at['pending'], at['lag'] or -1} end\n"
				   "end\n"
				   "return {0, redis.call('XLEN', KEYS[1])}\n";

static int count_stream(const struct redis_keys *keys, const struct redis_queue *queue, int64_t *ret_taken, int64_t *ret_waiting,
	struct err *err)
{
	_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "EVAL", count_script, "1", queue->stream, queue->group, NULL);
	_cleanup_(redis_free_reply) redisReply *reply = NULL;
	int r = redis_call(keys->redis, words, &reply, err);

	if (r == 0 && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2))
		r = err_set(err, ERR_DRIVER, "the server's answer is not of the form that was asked for");
	if (r < 0)
		return r;
	*ret_taken = reply->element[0]->integer;
	*ret_waiting = reply->element[1]->type == REDIS_REPLY_INTEGER ? reply->element[1]->integer : -1;
	return 0;
}

static int requeue_stream(const struct redis_keys *keys, const struct redis_queue *queue, int64_t left, int64_t *moved, struct err *err)
{
	while (left > 0) {
		int64_t portion = MIN(left, (int64_t)PORTION), done = 0;
		_cleanup_talloc_ struct redis_words *words = redis_words(NULL, "EVAL", requeue_script, "1", queue->stream, queue->group,
			NULL);
		int r;

		redis_words_add_int(words, portion);
		r = ask_number(keys->redis, words, 0, &done, err);
		if (r < 0)
			return r;
		*moved += done;
		left -= portion;
		FAILPOINT("redis.requeued_some");
	}
	return 0;
}

/* ---- both ---- */

int redis_queue_count(const struct redis_keys *keys, const struct redis_queue *queue, int64_t *ret_taken, int64_t *ret_waiting,
	struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct redis_words *lists;
	int64_t length;
	int r;

	if (queue->stream) {
		r = count_stream(keys, queue, ret_taken, ret_waiting, err);
		return r < 0 ? err_in(err, "queue '%s'", queue->name) : 0;
	}
	*ret_taken = 0;
	r = list_length(keys->redis, queue->pending, strlen(queue->pending), ret_waiting, err);
	if (r == 0)
		r = find_lists(ctx, keys, queue, &lists, err);
	for (size_t i = 0; r == 0 && i < lists->count; i++) {
		r = list_length(keys->redis, lists->words[i], lists->sizes[i], &length, err);
		*ret_taken += r == 0 ? length : 0;
	}
	return r < 0 ? err_in(err, "queue '%s'", queue->name) : 0;
}

int redis_queue_requeue(const struct redis_keys *keys, const struct redis_queue *queue, int64_t *ret_moved, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	int64_t length = 0, ignored;
	struct redis_words *lists;
	int r;

	if (queue->stream) {
		r = count_stream(keys, queue, &length, &ignored, err);
		if (r == 0)
			r = requeue_stream(keys, queue, length, ret_moved, err);
		return r < 0 ? err_in(err, "queue '%s'", queue->name) : 0;
	}
	r = find_lists(ctx, keys, queue, &lists, err);
	for (size_t i = 0; r == 0 && i < lists->count; i++) {
		r = list_length(keys->redis, lists->words[i], lists->sizes[i], &length, err);
		if (r == 0)
			r = move_back(keys, queue, lists->words[i], lists->sizes[i], length, ret_moved, err);
	}
	return r < 0 ? err_in(err, "queue '%s'", queue->name) : 0;
}
