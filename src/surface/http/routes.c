/* Routes: the tables, and how a method and a path find their row. To add routes: a table in a file of this folder, a line in route_tables.
 *
 * A pattern is compared part by part; of several that fit, the one with a literal part where the other has a {name} is meant, so /flags/history is never a flag named "history" where both
 * are there for the method. Read-only after the start but for the counters; any thread. */
#include <stdatomic.h>
#include <string.h>

#include "base/text.h"

#include "surface/http/events.h"
#include "surface/http/health.h"
#include "surface/http/hooks.h"
#include "surface/http/inner.h"
#include "surface/http/mcp.h"
#include "surface/http/metrics.h"
#include "surface/http/ofrep.h"
#include "surface/http/oidc.h"
#include "surface/http/rollback_endpoints.h"

const struct route *const route_tables[] = {
	auth_routes,
	oidc_routes,
	openapi_routes,
	events_routes,
	health_routes,
	metrics_routes,
	rollback_endpoint_routes,
	ofrep_routes,
	mcp_routes,
	hook_routes,
	NULL,
};

struct entry_of_router {
	const struct route *route;
	char **parts; /* "{name}" is a parameter */
	size_t count;
	bool rest; /* the last part takes all that follow */
	atomic_uint_fast64_t answers[6], buckets[ROUTE_BUCKETS + 1], sum_us;
};

struct router {
	struct entry_of_router *entries;
	size_t count;
};

static void add_table(struct router *router, const struct route *table)
{
	for (; table->method; table++) {
		struct entry_of_router *entry;

		router->entries = mem_resize(router, router->entries, struct entry_of_router, router->count + 1);
		entry = &router->entries[router->count++];
		memset(entry, 0, sizeof(*entry));
		entry->route = table;
		entry->parts = text_split(router, table->pattern, '/');
		while (entry->parts[entry->count])
			entry->count++;
		entry->rest = entry->count && text_ends_with(entry->parts[entry->count - 1], "*}");
	}
}

struct router *router_new(const void *ctx, const struct route *const *tables)
{
	struct router *router = mem_zero(ctx, struct router);

	for (; *tables; tables++)
		add_table(router, *tables);
	add_table(router, operation_routes(router));
	return router;
}

/* What is behind the last "/" that was cut off is kept whole: parts borrow from `path`. */
static size_t cut(const void *ctx, const char *path, const char **parts, const char **starts)
{
	size_t count = 0;

	while (*path == '/' && count < PATH_SEGMENTS_MAX) {
		size_t length = strcspn(path + 1, "/");

		if (!length && !path[1])
			break;
		starts[count] = path + 1;
		parts[count++] = mem_strndup(ctx, path + 1, length);
		path += length + 1;
	}
	return *path == '/' && path[1] ? SIZE_MAX : count;
}

static bool fits(const struct entry_of_router *entry, const char *const *parts, size_t count)
{
	if (entry->rest ? count < entry->count : count != entry->count)
		return false;
	for (size_t i = 0; i < entry->count; i++)
		if (entry->parts[i][0] != '{' && strcmp(entry->parts[i], parts[i]) != 0)
			return false;
	return true;
}

/* Is `a` meant rather than `b`, when both fit? */
static bool is_closer(const struct entry_of_router *a, const struct entry_of_router *b)
{
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if ((a->parts[i][0] == '{') != (b->parts[i][0] == '{'))
			return b->parts[i][0] == '{';
	return !a->rest && b->rest;
}

static void take_params(const void *ctx, const struct entry_of_router *entry, const char *const *parts, const char *const *starts,
	struct pairs *ret)
{
	for (size_t i = 0; i < entry->count; i++) {
		bool rest = entry->rest && i == entry->count - 1;

		if (entry->parts[i][0] == '{')
			pairs_add(ctx, ret, mem_strndup(ctx, entry->parts[i] + 1, strlen(entry->parts[i]) - (rest ? 3 : 2)),
				rest ? starts[i] : parts[i]);
	}
}

static char *add_method(const void *ctx, char *allow, const char *method)
{
	if (!allow)
		return mem_printf(ctx, !strcmp(method, "GET") ? "OPTIONS, GET, HEAD" : "OPTIONS, %s", method);
	return strstr(allow, method) ? allow : mem_appendf(allow, ", %s%s", method, !strcmp(method, "GET") ? ", HEAD" : "");
}

int router_match(const struct router *router, const void *ctx, const char *method, const char *path, const struct route **ret,
	struct pairs *ret_params, const char **ret_allow, struct err *err)
{
	const char *parts[PATH_SEGMENTS_MAX], *starts[PATH_SEGMENTS_MAX];
	const struct entry_of_router *best = NULL;
	size_t count = cut(ctx, path, parts, starts);
	char *allow = NULL;

	for (size_t i = 0; count != SIZE_MAX && i < router->count; i++) {
		const struct entry_of_router *entry = &router->entries[i];

		if (!fits(entry, parts, count))
			continue;
		allow = add_method(ctx, allow, entry->route->method);
		if (!strcmp(entry->route->method, method) && (!best || is_closer(entry, best)))
			best = entry;
	}
	*ret_allow = allow;
	if (best) {
		take_params(ctx, best, parts, starts, ret_params);
		*ret = best->route;
		return 0;
	}
	if (allow)
		return err_set(err, ERR_USAGE, "%s is not for %s; it takes %s", path, method, allow);
	return err_set(err, ERR_NOT_FOUND, "there is nothing at %s", path);
}

void router_each(const struct router *router, void (*each)(void *user, const struct route *route), void *user)
{
	for (size_t i = 0; i < router->count; i++)
		each(user, router->entries[i].route);
}

/* --- what was answered --------------------------------------------------------------------------------------------- */

const double route_bucket_seconds[ROUTE_BUCKETS] = { 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10 };

void router_count(struct router *router, const struct route *route, int status, int64_t duration_us)
{
	for (size_t i = 0; i < router->count; i++) {
		struct entry_of_router *entry = &router->entries[i];
		size_t bucket = 0;

		if (entry->route != route)
			continue;
		while (bucket < ROUTE_BUCKETS && (double)duration_us / 1e6 > route_bucket_seconds[bucket])
			bucket++;
		atomic_fetch_add_explicit(&entry->answers[status >= 100 && status < 600 ? status / 100 : 0], 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&entry->buckets[bucket], 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&entry->sum_us, (uint_fast64_t)MAX(duration_us, 0), memory_order_relaxed);
		return;
	}
}

void server_each_route(struct server *server, void (*each)(void *user, const struct route *route, const struct route_numbers *numbers),
	void *user)
{
	struct router *router = server->inner->router;

	for (size_t i = 0; i < router->count; i++) {
		struct entry_of_router *entry = &router->entries[i];
		struct route_numbers numbers = { .sum_us = atomic_load(&entry->sum_us) };

		for (size_t k = 0; k < ARRAY_SIZE(numbers.answers); k++)
			numbers.answers[k] = atomic_load(&entry->answers[k]);
		for (size_t k = 0; k < ARRAY_SIZE(numbers.buckets); k++)
			numbers.buckets[k] = atomic_load(&entry->buckets[k]);
		each(user, entry->route, &numbers);
	}
}
