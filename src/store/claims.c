/* Claims: a row with a lease and a fencing token. The row stays when a claim is released, so that tokens grow forever.
 *
 * A lease ends by the wall clock of this host. The holder counts it on its own monotonic clock from before the attempt and stops a
 * quarter early, so
 * it stops before anybody takes over, whatever the wall clock does to it; and a holder that is late all the same is stopped by the
 * token, which
 * every append checks in its own transaction.
 *
 * The holder's name tells a claimer on the same host whether that holder is still alive:
 *     host / boot id . pid namespace / pid / start time of the process / number of the store handle
 * Boot and pid namespace are the scope in which pid and start time mean that very process; in any other scope only the lease counts.
 *
 * Threads: as the store. */
#include "store/internal.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/text.h"

#define HOST_MAX     256
#define LEASE_MAX_MS 86400000LL

static void read_small(const char *path, char *ret, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, ret, size - 1);

	ret[got > 0 ? got : 0] = 0;
	for (char *p = ret; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-')
			*p = 0;
}

char *claim_holder(const void *ctx)
{
	char host[HOST_MAX] = "", boot[64], space[64] = "";
	ssize_t length = readlink("/proc/self/ns/pid", space, sizeof(space) - 1); /* pid:[4026531836] */
	unsigned number = 0;

	space[MAX(length, 0)] = 0;
	(void)gethostname(host, sizeof(host) - 1);
	for (char *p = host; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-_", *p))
			*p = '_';
	read_small("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	/* Where they cannot be read, no two scopes may look the same: the holder is then judged by its lease alone. */
	assert_always(getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number));
	if (!boot[0] || length <= 0)
		(void)snprintf(boot, sizeof(boot), "unknown-%u", number);
	for (char *p = space; *p; p++)
		if (!isdigit((unsigned char)*p))
			*p = '0';
	return mem_printf(ctx, "%s/%s.%s/%ld/%llu/%u", host, boot, space, (long)getpid(), (unsigned long long)proc_start_time(getpid()),
		number);
}

/* Parts of a holder's name; NULL when it is not of that form. */
static char **holder_parts(const void *ctx, const char *holder)
{
	char **parts = text_split(ctx, holder, '/');
	size_t count = 0;

	while (parts[count])
		count++;
	return count == 5 ? parts : NULL;
}

/* True only when it is certain: same scope as ours, and that process is gone. */
bool claim_holder_dead(const void *ctx, const char *ours, const char *theirs)
{
	char **mine = holder_parts(ctx, ours), **other = holder_parts(ctx, theirs);
	int64_t pid, start;
	struct err ignored = ERR_INIT;

	if (!mine || !other || strcmp(mine[0], other[0]) != 0 || strcmp(mine[1], other[1]) != 0)
		return false;
	if (text_parse_int(other[2], 1, INT32_MAX, &pid, &ignored) < 0 || text_parse_int(other[3], 1, INT64_MAX, &start, &ignored) < 0)
		return false;
	return !proc_alive((pid_t)pid, (uint64_t)start);
}

struct held {
	const void *ctx;
	bool known;
	const char *holder; /* NULL: released */
	int64_t token, lease_ms, expires_ms;
};

static int held_row(void *user, const struct sql_value *columns, unused_arg size_t count, unused_arg struct err *err)
{
	struct held *held = user;

	held->known = true;
	held->holder = mem_strdup(held->ctx, columns[0].text);
	held->token = columns[1].integer;
	held->lease_ms = columns[2].integer;
	held->expires_ms = columns[3].integer;
	return 1;
}

static int find_claim(struct sql *sql, const char *name, struct held *ret, struct err *err)
{
	int r;

	r = sql_each(sql, err, held_row, ret, "SELECT holder, token, lease_ms, expires_ms FROM claims WHERE name = $1", SQL_T(name));
	return r < 0 ? r : 0;
}

static char *holder_words(const void *ctx, const char *holder)
{
	char **parts = holder_parts(ctx, holder);

	return parts ? mem_printf(ctx, "process %s on %s", parts[2], parts[0]) : mem_strdup(ctx, holder);
}

int claim_check(struct handle *handle, const struct claim *claim, struct err *err)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct held held = { .ctx = ctx };
	int r;

	r = find_claim(handle->store.sql, claim->name, &held, err);
	if (r < 0)
		return r;
	if (claim->token > 0 && held.known && held.holder && held.token == claim->token)
		return 0;
	return err_set(err, ERR_CONFLICT, "the claim on %s was lost%s%s", claim->name,
		held.holder && held.token != claim->token ? " to " : "",
		held.holder && held.token != claim->token ? holder_words(ctx, held.holder) : "");
}

static bool is_free(struct handle *handle, const void *ctx, const struct held *held, int64_t now_ms)
{
	return !held->holder || held->expires_ms <= now_ms || claim_holder_dead(ctx, handle->holder, held->holder);
}

int store_holder(struct store *store, const void *ctx, const char *name, const char **ret_holder, struct err *err)
{
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	struct held held = { .ctx = scratch };
	int r;

	r = find_claim(store->sql, name, &held, err);
	if (r < 0)
		return r;
	*ret_holder = is_free(handle_of(store), scratch, &held, clock_wall_ms()) ? NULL : holder_words(ctx, held.holder);
	return 0;
}

/* 0 when it is free. */
static int refuse_held(struct handle *handle, const void *ctx, const char *name, struct held *held, int64_t now_ms, int64_t *clamp_ms,
	struct err *err)
{
	int64_t left_ms = held->expires_ms - now_ms;

	if (is_free(handle, ctx, held, now_ms))
		return 0;
	/* More is left than was ever given: the wall clock was set back. The lease ends its own length from now at the latest. */
	if (left_ms > held->lease_ms) {
		left_ms = held->lease_ms;
		*clamp_ms = now_ms + left_ms;
	}
	return err_set(err, ERR_CONFLICT, "%s is held by %s for another %lld s", name, holder_words(ctx, held->holder),
		(long long)(left_ms + 999) / 1000);
}

static int take_claim(struct handle *handle, const void *ctx, const char *name, int64_t lease_ms, struct held *held, struct err *err)
{
	struct sql *sql = handle->store.sql;
	int64_t now_ms = clock_wall_ms(), clamp_ms = 0;
	struct err unclamped = ERR_INIT;
	int r;

	r = refuse_held(handle, ctx, name, held, now_ms, &clamp_ms, err);
	if (r < 0) {
		if (clamp_ms &&
			sql_do(sql, &unclamped, "UPDATE claims SET expires_ms = $2 WHERE name = $1", SQL_T(name), SQL_I(clamp_ms)) == 0)
			(void)!sql->ops->commit(sql, &unclamped);
		return r;
	}
	held->token++;
	return sql_do(sql, err,
		"INSERT INTO claims (name, holder, token, lease_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (name) DO UPDATE SET holder = $2, token = $3, lease_ms = $4, expires_ms = $5",
		SQL_T(name), SQL_T(handle->holder), SQL_I(held->token), SQL_I(lease_ms), SQL_I(now_ms + lease_ms));
}

/* Nobody acts on a claim that is not on the disk yet: what is done under it is an append, which takes it along. And one that is lost with
 * the power is lost with its holder. */
static int begin_claim(struct handle *handle, struct err *err)
{
	struct sql *sql = handle->store.sql;
	int r;

	store_defer(&handle->store, true);
	r = sql->ops->begin(sql, err);
	store_defer(&handle->store, false);
	return r;
}

int journal_claim(struct journal *journal, const void *ctx, const char *name, int64_t lease_ms, struct claim *ret, struct err *err)
{
	struct handle *handle = handle_of((struct store *)journal);
	struct sql *sql = handle->store.sql;
	_cleanup_talloc_ void *scratch = mem_context(NULL);
	struct held held = { .ctx = scratch };
	int64_t began_ms = clock_mono_ms();
	int r;

	if (lease_ms <= 0 || lease_ms > LEASE_MAX_MS)
		return err_set(err, ERR_INVALID, "a lease of %lld ms", (long long)lease_ms);
	r = begin_claim(handle_of((struct store *)journal), err);
	if (r == 0)
		r = find_claim(sql, name, &held, err);
	if (r == 0)
		r = take_claim(handle, scratch, name, lease_ms, &held, err);
	if (r == 0)
		r = sql->ops->commit(sql, err);
	if (r < 0) {
		sql->ops->rollback(sql);
		return r;
	}
	*ret = (struct claim){
		.name = mem_strdup(ctx, name),
		.holder = mem_strdup(ctx, handle->holder),
		.token = held.token,
		.lease_ms = lease_ms,
		.safe_until_ms = began_ms + lease_ms * 3 / 4,
	};
	return 0;
}

int journal_renew(struct journal *journal, struct claim *claim, struct err *err)
{
	struct handle *handle = handle_of((struct store *)journal);
	struct sql *sql = handle->store.sql;
	int64_t began_ms = clock_mono_ms();
	int r;

	r = begin_claim(handle_of((struct store *)journal), err);
	if (r == 0)
		r = claim_check(handle, claim, err);
	if (r == 0)
		r = sql_do(sql, err, "UPDATE claims SET expires_ms = $2, lease_ms = $3 WHERE name = $1", SQL_T(claim->name),
			SQL_I(clock_wall_ms() + claim->lease_ms), SQL_I(claim->lease_ms));
	if (r == 0)
		r = sql->ops->commit(sql, err);
	if (r < 0) {
		sql->ops->rollback(sql);
		return r;
	}
	claim->safe_until_ms = began_ms + claim->lease_ms * 3 / 4;
	return 0;
}

int journal_release(struct journal *journal, struct claim *claim, struct err *err)
{
	struct sql *sql = ((struct store *)journal)->sql;
	int r;

	if (claim->token == 0)
		return 0;
	r = begin_claim(handle_of((struct store *)journal), err);
	if (r == 0)
		r = sql_do(sql, err, "UPDATE claims SET holder = NULL, expires_ms = 0 WHERE name = $1 AND token = $2", SQL_T(claim->name),
			SQL_I(claim->token));
	if (r == 0)
		r = sql->ops->commit(sql, err);
	if (r < 0) {
		sql->ops->rollback(sql);
		return r;
	}
	claim->token = 0;
	return 0;
}
