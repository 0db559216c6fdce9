/* Idle workers as a list. A worker is let go by closing its input: it ends by itself, as it does when unship dies. One that does not is
 * killed with its group by proc_close.
 *
 * A worker that has been idle for IDLE_MAX_MS is let go, because who waits that long (a person is asked) should not keep processes, and
 * the secrets that they resolved. Threads: the
 * executor's. */
#include "runner/worker_pool.h"

#include <poll.h>

#include "base/clock.h"
#include "base/log.h"
#include "data/json.h"

#define IDLE_MAX_MS 5000
#define LEAVE_MS    1000 /* for a worker to end when its input has */
#define WORKERS_MAX 32   /* idle ones; the longest idle goes first */

struct idle {
	struct proc proc; /* in -1: it was let go */
	char *key;
	int64_t since_ms; /* idle, or leaving */
};

struct worker_pool {
	struct idle *list; /* in the order of since_ms */
	size_t count;
};

static void forget(struct worker_pool *pool, size_t i)
{
	(void)talloc_free(pool->list[i].key);
	pool->count--;
	for (; i < pool->count; i++)
		pool->list[i] = pool->list[i + 1];
}

static bool has_ended(struct proc *proc)
{
	struct proc_result unused_result;

	return proc_poll(proc, &unused_result) != 0;
}

static void let_go(struct idle *idle)
{
	cleanup_close(&idle->proc.in);
	idle->since_ms = clock_mono_ms();
}

static void await_end(struct idle *idle)
{
	struct pollfd wait = { .fd = idle->proc.status_fd >= 0 ? idle->proc.status_fd : idle->proc.pidfd, .events = POLLIN };

	while (!has_ended(&idle->proc)) {
		int64_t left = idle->since_ms + LEAVE_MS - clock_mono_ms();

		if (left <= 0)
			break;
		(void)poll(&wait, 1, (int)left);
	}
	proc_close(&idle->proc);
}

static int pool_destroy(struct worker_pool *pool)
{
	worker_pool_rest(pool);
	for (size_t i = 0; i < pool->count; i++)
		await_end(&pool->list[i]);
	return 0;
}

struct worker_pool *worker_pool_new(const void *ctx)
{
	struct worker_pool *pool = mem_zero(ctx, struct worker_pool);

	pool->list = mem_array(pool, struct idle, WORKERS_MAX + 1);
	talloc_set_destructor(pool, pool_destroy);
	return pool;
}

char *worker_pool_key(const void *ctx, const struct work *work)
{
	static const char *const members[] = { "name", "environment", "projectDir", "stateDir", "store", "component", "config" };
	json_t *key = json_object();
	char *text;

	json_put_int(key, "kind", work->kind);
	json_put_str(key, "worker", work->name);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		json_put(key, members[i], json_object_get(work->request, members[i]));
	text = json_canonical(ctx, key);
	json_decref(key);
	return text;
}

/* It waits for a request, and has said nothing since its answer. */
static bool is_waiting(const struct proc *proc)
{
	struct pollfd waits[2] = {
		{ .fd = proc->out, .events = POLLIN },
		{ .fd = proc->status_fd >= 0 ? proc->status_fd : proc->pidfd, .events = POLLIN },
	};

	return poll(waits, 2, 0) == 0;
}

bool worker_pool_take(struct worker_pool *pool, const char *key, struct proc *ret)
{
	worker_pool_tidy(pool);
	for (size_t i = pool->count; i-- > 0;) {
		struct idle *idle = &pool->list[i];
		struct proc proc = idle->proc;

		if (proc.in < 0 || strcmp(idle->key, key) != 0)
			continue;
		forget(pool, i);
		if (is_waiting(&proc)) {
			*ret = proc;
			return true;
		}
		log_event(LOG_WARN, "a worker that had answered ended or spoke unasked; another takes its place", NULL);
		proc_close(&proc);
	}
	return false;
}

void worker_pool_put(struct worker_pool *pool, const char *key, const struct proc *proc)
{
	if (pool->count == WORKERS_MAX) {
		let_go(&pool->list[0]);
		await_end(&pool->list[0]);
		forget(pool, 0);
	}
	pool->list[pool->count++] = (struct idle){ .proc = *proc, .key = mem_strdup(pool, key), .since_ms = clock_mono_ms() };
}

void worker_pool_tidy(struct worker_pool *pool)
{
	int64_t now_ms = clock_mono_ms();

	for (size_t i = pool->count; i-- > 0;) {
		struct idle *idle = &pool->list[i];

		if (idle->proc.in >= 0 && now_ms - idle->since_ms > IDLE_MAX_MS)
			let_go(idle);
		if (idle->proc.in < 0 && (has_ended(&idle->proc) || now_ms - idle->since_ms > LEAVE_MS)) {
			proc_close(&idle->proc);
			forget(pool, i);
		}
	}
}

void worker_pool_rest(struct worker_pool *pool)
{
	for (size_t i = 0; i < pool->count; i++)
		if (pool->list[i].proc.in >= 0)
			let_go(&pool->list[i]);
}
