/* redis: one database of a Redis server, or those of its keys that match patterns; and the work queues in it.
 *
 *   target {snapshotId}, or a deployment's kept copy (source_dir)   all keys
 *   target {tables: {PATTERN: BACKUP}}                              the keys that match (* and ?); BACKUP names one of `sources`
 *   target {action: requeue, [queues: [NAME]]}                      what consumers took and did not finish is put back
 *
 * Keys are read in redis_walk.c, copies made and restored in redis_copy.c, queues emptied in redis_queue.c, all over redis_client.c.
 *
 * Version: the server's. A database of keys has no schema, and a version that changed with every write would make every plan outdated
 * before it is carried out; whether a target is reached is found by comparing the content of
 * all keys. */
#include "base/fs.h"
#include "base/text.h"
#include "data/json.h"
#include "drivers/list.h"
#include "drivers/redis_copy.h"
#include "drivers/redis_queue.h"

struct redis_params {
	const char *host, *socket, *user;
	int64_t port, database, timeout_ms;
	json_t *password, *url, *queues;
	const char **keys;
	bool keep_at_record;
};

/* clang-format off */
static const struct field redis_fields[] = {
	FIELD_STR   (struct redis_params, host,           DEFAULT("127.0.0.1"), "host of the server"),
	FIELD_INT   (struct redis_params, port,           DEFAULT("6379"), 1, 65535, "its port"),
	FIELD_PATH  (struct redis_params, socket,         OPTIONAL,        "unix socket of the server, instead of host and port; relative to the project"),
	FIELD_INT   (struct redis_params, database,       DEFAULT("0"), 0, 1 << 20, "number of the database"),
	FIELD_STR   (struct redis_params, user,           OPTIONAL,        "user of the access control list"),
	FIELD_SECRET(struct redis_params, password,       OPTIONAL,        "its password"),
	FIELD_SECRET(struct redis_params, url,            OPTIONAL,        "the whole address instead: redis://USER:PASSWORD@HOST:PORT/DATABASE, or unix://PATH?db=N"),
	FIELD_LIST  (struct redis_params, keys,           OPTIONAL,        "patterns of the keys that belong to this component, as in SCAN; all of the database when missing"),
	FIELD_BOOL  (struct redis_params, keep_at_record, DEFAULT("true"), "keep a copy with every recorded deployment"),
	FIELD_MAP   (struct redis_params, queues,         OPTIONAL,        "work queues by name: {pending, processing, takes} of lists, or {stream, group}"),
	FIELD_MS    (struct redis_params, timeout_ms,     DEFAULT("10s"),  "how long the server may take for one answer"),
	FIELD_END,
};
/* clang-format on */

static int open_keys(struct driver_call *call, struct redis_keys *ret, struct err *err)
{
	const struct redis_params *p = call->params;
	struct redis_place place = { .host = p->host,
		.port = p->port,
		.socket = p->socket ? fs_join(call->ctx, call->project_dir, p->socket) : NULL,
		.user = p->user,
		.database = p->database,
		.timeout_ms = p->timeout_ms };
	const char *url;
	int r = 0;

	if (p->password)
		r = call_secret(call, p->password, &place.password, err);
	if (r == 0 && p->user && !p->password)
		r = err_set(err, ERR_INVALID, "a user is given, and no password");
	if (r == 0 && p->url) {
		r = call_secret(call, p->url, &url, err);
		if (r == 0)
			r = redis_read_url(call->ctx, url, &place, err);
	}
	*ret = (struct redis_keys){ .call = call, .patterns = p->keys };
	return r < 0 ? r : redis_open(call, &place, &ret->redis, err);
}

static void close_keys(struct redis_keys *keys)
{
	redis_close(&keys->redis);
}

/* ---- what is to be reached ---- */

struct goal {
	bool requeue;
	struct redis_queue *queues; /* requeue: these */
	size_t queue_count;
	struct redis_copy *copies;
	size_t copy_count;
};

static int read_goal(struct driver_call *call, struct goal *ret, struct err *err)
{
	const struct redis_params *p = call->params;
	const char *action = json_str(call->target, "action", NULL);
	struct database_goal goal;
	int r;

	*ret = (struct goal){ .requeue = action != NULL };
	if (action && strcmp(action, "requeue") != 0)
		return err_set(err, ERR_INVALID, "target: action '%s' is not requeue", action);
	if (action)
		return redis_read_queues(call->ctx, p->queues, json_object_get(call->target, "queues"), &ret->queues, &ret->queue_count,
			err);
	r = database_read_goal(call, REDIS_COPY_FILE, &goal, err);
	if (r < 0)
		return r;
	if (goal.migration)
		return err_set(err, ERR_UNSUPPORTED, "a Redis database has no migrations");
	ret->copy_count = goal.dir ? 1 : goal.table_count;
	ret->copies = mem_array(call->ctx, struct redis_copy, ret->copy_count);
	for (size_t i = 0; i < ret->copy_count; i++)
		ret->copies[i] = goal.dir ? (struct redis_copy){ .dir = goal.dir }
					  : (struct redis_copy){ .dir = goal.tables[i].dir, .pattern = goal.tables[i].name };
	return 0;
}

/* ---- observe ---- */

static int count_taken(const struct redis_keys *keys, const struct goal *goal, int64_t *ret, struct err *err)
{
	int64_t taken, waiting;
	int r = 0;

	*ret = 0;
	for (size_t i = 0; r == 0 && i < goal->queue_count; i++) {
		r = redis_queue_count(keys, &goal->queues[i], &taken, &waiting, err);
		*ret += r == 0 ? taken : 0;
	}
	return r;
}

static int goal_reached(const struct redis_keys *keys, const struct goal *goal, int *ret, struct err *err)
{
	int64_t taken = 0;
	int r = 0;

	*ret = 1;
	if (goal->requeue) {
		r = count_taken(keys, goal, &taken, err);
		*ret = taken == 0;
	}
	for (size_t i = 0; r == 0 && *ret == 1 && i < goal->copy_count; i++)
		r = redis_copy_equal(keys, &goal->copies[i], ret, err);
	return r;
}

static int at_target(const struct redis_keys *keys, int *ret, struct err *err)
{
	struct driver_call *call = keys->call;
	struct redis_copy captured = { .dir = call->snapshot_dir };
	struct err why = ERR_INIT;
	struct goal goal;
	int r;

	*ret = -1;
	if (!call->target)
		return call->snapshot_dir && fs_exists(call->snapshot_dir) ? redis_copy_equal(keys, &captured, ret, err) : 0;
	r = read_goal(call, &goal, &why);
	if (r == -ERR_NOT_FOUND) {
		*ret = 0;
		return 0;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	return goal_reached(keys, &goal, ret, err);
}

static int describe_queues(const struct redis_keys *keys, json_t *details, struct err *err)
{
	const struct redis_params *p = keys->call->params;
	json_t *described = json_keep(keys->call->ctx, json_object());
	struct redis_queue *queues;
	size_t count;
	int64_t taken, waiting;
	int r = redis_read_queues(keys->call->ctx, p->queues, NULL, &queues, &count, err);

	for (size_t i = 0; r == 0 && i < count; i++) {
		r = redis_queue_count(keys, &queues[i], &taken, &waiting, err);
		if (r == 0)
			(void)json_object_set_new(described, queues[i].name,
				json_pack("{s:o, s:I}", "waiting", waiting < 0 ? json_null() : json_integer((json_int_t)waiting), "taken",
					(json_int_t)taken));
	}
	if (r == 0 && count > 0)
		json_put(details, "queues", described);
	return r;
}

static int redis_observe(struct driver_call *call, struct observation *ret, struct err *err)
{
	_cleanup_(close_keys) struct redis_keys keys = { 0 };
	json_t *details = json_keep(call->ctx, json_object());
	int64_t count = 0;
	int there, r;

	r = open_keys(call, &keys, err);
	if (r == 0)
		r = at_target(&keys, &there, err);
	if (r == 0)
		r = redis_count_keys(keys.redis, &count, err);
	if (r == 0)
		r = describe_queues(&keys, details, err);
	if (r < 0)
		return r;
	json_put_int(details, "keys", count);
	*ret = (struct observation){ .version = mem_strdup(call->ctx, redis_version(keys.redis)),
		.state = "present",
		.healthy = -1,
		.at_target = there,
		.details = details };
	return 0;
}

/* ---- check ---- */

static bool is_newer(const char *version, const char *than)
{
	char *end, *than_end;
	long major = strtol(version, &end, 10), than_major = strtol(than, &than_end, 10);

	if (major != than_major)
		return major > than_major;
	return *end == '.' && *than_end == '.' && strtol(end + 1, NULL, 10) > strtol(than_end + 1, NULL, 10);
}

static void check_room(const struct redis_keys *keys, const struct redis_copy_facts *facts, struct findings *ret)
{
	const char *max = redis_info(keys->redis, "maxmemory"), *used = redis_info(keys->redis, "used_memory");
	uint64_t limit = max ? strtoull(max, NULL, 10) : 0, now = used ? strtoull(used, NULL, 10) : 0;

	if (limit > 0)
		findings_add(ret, "memory", now + (uint64_t)facts->bytes <= limit, SEVERITY_WARNING, keys->call->name, NULL,
			"the server uses %s of its maxmemory %s, and the copy holds %s", text_format_size(keys->call->ctx, now),
			text_format_size(keys->call->ctx, limit), text_format_size(keys->call->ctx, (uint64_t)facts->bytes));
}

static void check_copy(const struct redis_keys *keys, const struct redis_copy *copy, struct findings *ret)
{
	const char *server = redis_version(keys->redis), *name = keys->call->name;
	struct err why = ERR_INIT;
	struct redis_copy_facts facts;
	int r = redis_copy_verify(keys->call->ctx, copy->dir, &facts, &why);

	findings_add(ret, "target_content", r == 0, SEVERITY_ERROR, name, NULL, "%s",
		r == 0 ? "the copy to restore from is sound" : why.text);
	if (r < 0)
		return;
	findings_add(ret, "server_version", !is_newer(facts.version, server), SEVERITY_ERROR, name, NULL,
		"the copy is of redis %s, the server is %s", facts.version, server);
	findings_add(ret, "one_moment", facts.moment, SEVERITY_INFO, name, NULL, "%s",
		facts.moment ? "the copy is of one moment" : "the copy was made key by key while others may have written");
	check_room(keys, &facts, ret);
}

static void check_goal(const struct redis_keys *keys, struct findings *ret)
{
	const char *role = redis_info(keys->redis, "role");
	struct err why = ERR_INIT;
	struct goal goal;

	if (role && strcmp(role, "master") != 0)
		findings_add(ret, "writable", false, SEVERITY_ERROR, keys->call->name, NULL, "the server is a replica and takes no writes");
	if (read_goal(keys->call, &goal, &why) < 0) {
		findings_add(ret, "target_content", false, SEVERITY_ERROR, keys->call->name, NULL, "%s", why.text);
		return;
	}
	for (size_t i = 0; i < goal.copy_count; i++)
		check_copy(keys, &goal.copies[i], ret);
}

static int redis_check(struct driver_call *call, struct findings *ret, struct err *err)
{
	_cleanup_(close_keys) struct redis_keys keys = { 0 };
	const struct redis_params *p = call->params;
	struct redis_queue *queues;
	size_t count;
	int r;

	r = redis_read_queues(call->ctx, p->queues, NULL, &queues, &count, err);
	if (r == 0)
		r = open_keys(call, &keys, err);
	if (r < 0)
		return r;
	if (json_object_get(call->target, "action") || database_is_to_restore(call))
		check_goal(&keys, ret);
	return 0;
}

/* ---- apply, capture, undo ---- */

static int requeue(const struct redis_keys *keys, const struct goal *goal, json_t *ret_outputs, struct err *err)
{
	int64_t moved = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < goal->queue_count; i++) {
		int64_t one = 0;

		r = redis_queue_requeue(keys, &goal->queues[i], &one, err);
		call_log(keys->call, LOG_INFO, "queue %s: %lld put back", goal->queues[i].name, (long long)one);
		moved += one;
	}
	if (r == 0)
		json_put_int(ret_outputs, "requeued", moved);
	return r;
}

static int redis_apply(struct driver_call *call, json_t *ret_outputs, struct err *err)
{
	_cleanup_(close_keys) struct redis_keys keys = { 0 };
	json_t *lost = NULL;
	struct goal goal;
	int r;

	r = read_goal(call, &goal, err);
	if (r == 0)
		r = open_keys(call, &keys, err);
	if (r < 0)
		return r;
	if (goal.requeue)
		return requeue(&keys, &goal, ret_outputs, err);
	r = redis_copy_restore(&keys, goal.copies, goal.copy_count, &lost, err);
	if (r == 0)
		json_put(ret_outputs, "lost", lost);
	return r;
}

static int redis_capture(struct driver_call *call, struct err *err)
{
	_cleanup_(close_keys) struct redis_keys keys = { 0 };
	const struct redis_params *p = call->params;
	int r;

	if (!call->run_id && !p->keep_at_record) /* outside of a run: a deployment is being recorded */
		return 0;
	r = database_capture_begin(call, REDIS_COPY_FILE, false, err);
	if (r == 0)
		r = open_keys(call, &keys, err);
	return r < 0 ? r : redis_copy_write(&keys, call->snapshot_dir, err);
}

static int redis_undo(struct driver_call *call, struct err *err)
{
	_cleanup_(close_keys) struct redis_keys keys = { 0 };
	struct redis_copy captured = { .dir = call->snapshot_dir };
	json_t *lost;
	int r = open_keys(call, &keys, err);

	return r < 0 ? r : redis_copy_restore(&keys, &captured, 1, &lost, err);
}

const struct driver driver_redis = {
	.name = "redis",
	.summary = "a Redis database: the whole, or keys that match; its work queues",
	.kind = DRIVER_DATA,
	.fields = redis_fields,
	.params_size = sizeof(struct redis_params),
	.keeps = true,
	.observe = redis_observe,
	.check = redis_check,
	.apply = redis_apply,
	.capture = redis_capture,
	.undo = redis_undo,
};
