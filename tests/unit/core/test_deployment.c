/* deployment.c: names, JSON, and the ranking of candidates. */
#include "given.h"

#include <stdlib.h>
#include <time.h>

#include "core/deployment.h"

#define COUNT_MAX 12

struct fleet {
	void *ctx;
	struct deployment list[COUNT_MAX];
	const struct deployment *pointers[COUNT_MAX];
	const char *blocked[COUNT_MAX];
	size_t count;
};

static struct deployment *add(struct fleet *fleet, const char *id, const char *version, enum health health)
{
	struct deployment *deployment = &fleet->list[fleet->count];

	*deployment = (struct deployment){ .id = id,
		.environment = "production",
		.version = version,
		.seq = (int64_t)fleet->count + 1,
		.health = health,
		.passing = health == HEALTH_PASSING ? 12 : 0,
		.failing = health == HEALTH_FAILING ? 3 : 0 };
	deployment->components = json_keep(fleet->ctx, json_pack("{s:{s:s}}", "api", "version", version));
	fleet->pointers[fleet->count++] = deployment;
	return deployment;
}

static struct candidate *rank(struct fleet *fleet, const char *present)
{
	return candidates_rank(fleet->ctx, fleet->pointers, fleet->count, present, fleet->blocked);
}

static void expect(const struct candidate *candidate, const char *id, bool eligible, bool stable, const char *reason)
{
	if (strcmp(candidate->deployment->id, id) != 0 || candidate->eligible != eligible || candidate->last_stable != stable ||
		!strstr(candidate->reason, reason))
		fail_msg("wanted %s that says '%s', found %s (eligible %d, last stable %d): %s", id, reason, candidate->deployment->id,
			candidate->eligible, candidate->last_stable, candidate->reason);
}

/* Evidence decides, not position: the deployment right before the present one is not taken. */
static void by_evidence(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct fleet fleet = { .ctx = ctx };
	struct candidate *ranked;

	add(&fleet, "d1", "1.0.0", HEALTH_PASSING);
	add(&fleet, "d2", "1.1.0", HEALTH_PASSING)->rollback_target = true;
	add(&fleet, "d3", "1.2.0", HEALTH_UNKNOWN);
	add(&fleet, "d4", "1.3.0", HEALTH_FAILING);
	add(&fleet, "d5", "1.4.0", HEALTH_PASSING);
	ranked = rank(&fleet, "d5");
	expect(&ranked[0], "d2", true, true,
		"Last stable: the newest one that was healthy when it ran (12 health checks passed, 0 failed)");
	assert_non_null(strstr(ranked[0].reason, "marked it as a rollback target"));
	expect(&ranked[1], "d1", true, false, "older than the last stable");
	expect(&ranked[2], "d3", true, false, "Nobody recorded whether it was healthy");
	expect(&ranked[3], "d5", false, false, "what runs now");
	expect(&ranked[4], "d4", false, false, "failing (0 health checks passed, 3 failed in all)");
}

static void objections(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct fleet fleet = { .ctx = ctx };
	struct candidate *ranked;

	add(&fleet, "d1", "1.0.0", HEALTH_UNKNOWN);
	add(&fleet, "d2", "1.1.0", HEALTH_PASSING)->status = DEPLOYMENT_FAILED;
	add(&fleet, "d3", "1.2.0", HEALTH_PASSING)->quarantine = "orders were lost";
	add(&fleet, "d4", "1.3.0", HEALTH_PASSING);
	fleet.blocked[3] = "image sha256:12 was pruned";
	/* Rolled back from once, but somebody lifted the quarantine. */
	add(&fleet, "d5", "1.4.0", HEALTH_PASSING)->status = DEPLOYMENT_ROLLED_BACK;
	add(&fleet, "d6", "1.5.0", HEALTH_UNKNOWN);
	ranked = rank(&fleet, "d6");
	expect(&ranked[0], "d5", true, true, "Last stable");
	expect(&ranked[1], "d1", true, false, "Nobody recorded");
	expect(&ranked[2], "d4", false, false, "Out of reach: image sha256:12 was pruned.");
	expect(&ranked[3], "d3", false, false, "In quarantine: orders were lost.");
	expect(&ranked[4], "d2", false, false, "deployment failed");
	expect(&ranked[5], "d6", false, false, "what runs now");
}

/* Unknown health is never the last stable. */
static void nothing_stable(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct fleet fleet = { .ctx = ctx };
	struct candidate *ranked;

	assert_non_null(candidates_rank(ctx, NULL, 0, NULL, NULL));
	add(&fleet, "d1", "1.0.0", HEALTH_UNKNOWN);
	ranked = candidates_rank(ctx, fleet.pointers, 1, NULL, NULL);
	expect(&ranked[0], "d1", true, false, "Nobody");
	ranked = candidates_rank(ctx, fleet.pointers, 1, "d1", NULL);
	expect(&ranked[0], "d1", false, false, "runs now");
}

/* After a rollback from d3 to d1, what a rollback recorded (d4) is the content of d1. */
static void returned_content(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct fleet fleet = { .ctx = ctx };
	struct candidate *ranked;

	add(&fleet, "d1", "1.0.0", HEALTH_PASSING);
	add(&fleet, "d2", "1.1.0", HEALTH_PASSING);
	add(&fleet, "d3", "1.2.0", HEALTH_FAILING);
	add(&fleet, "d4", "1.0.0", HEALTH_PASSING)->rollback_of = "run-1";
	ranked = rank(&fleet, "d4");
	expect(&ranked[0], "d2", true, true, "Last stable");
	expect(&ranked[1], "d4", false, false, "runs now");
	expect(&ranked[2], "d1", false, false, "the content that runs now, as d4");

	/* A new deployment goes bad: the newest healthy content is that which was returned to. */
	add(&fleet, "d5", "1.3.0", HEALTH_FAILING);
	ranked = rank(&fleet, "d5");
	expect(&ranked[0], "d4", true, true, "a rollback returned to it before");
	expect(&ranked[1], "d2", true, false, "");
	expect(&ranked[2], "d1", true, false, "");

	/* What holds for the content holds for both. */
	fleet.list[0].quarantine = "leaks memory";
	ranked = rank(&fleet, "d5");
	expect(&ranked[0], "d2", true, true, "");
	expect(&ranked[1], "d4", false, false, "content of d1, which is in quarantine: leaks memory");

	/* The same version deployed again by hand is a deployment of its own. */
	fleet.list[3].rollback_of = NULL;
	ranked = rank(&fleet, "d5");
	expect(&ranked[0], "d4", true, true, "");
}

static bool may_follow(const struct candidate *a, const struct candidate *b)
{
	static const int rank_of[] = { [HEALTH_PASSING] = 0, [HEALTH_UNKNOWN] = 1, [HEALTH_FAILING] = 2 };

	if (a->eligible != b->eligible)
		return a->eligible;
	if (a->deployment->health != b->deployment->health)
		return rank_of[a->deployment->health] < rank_of[b->deployment->health];
	return a->deployment->seq > b->deployment->seq;
}

static void random_fleets(void **state)
{
	const char *given = getenv("UNSHIP_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL), random = seed;
	static const char *const ids[] = { "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11" };

	print_message("seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 1000; round++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct fleet fleet = { .ctx = ctx };
		size_t count = 1 + random_next(&random) % COUNT_MAX, stable = 0;
		const char *present = ids[random_next(&random) % count];
		struct candidate *ranked;

		for (size_t i = 0; i < count; i++) {
			struct deployment *deployment = add(&fleet, ids[i], random_next(&random) % 2 ? "1.0.0" : "2.0.0",
				random_next(&random) % 3);

			deployment->status = random_next(&random) % 3;
			deployment->quarantine = random_next(&random) % 4 ? NULL : "bad";
			deployment->rollback_of = random_next(&random) % 4 ? NULL : "run";
			fleet.blocked[i] = random_next(&random) % 4 ? NULL : "gone";
		}
		/* Any order in, one order out. */
		for (size_t i = count - 1; i > 0; i--) {
			size_t k = random_next(&random) % (i + 1);
			const struct deployment *swap = fleet.pointers[i];
			const char *why = fleet.blocked[i];

			fleet.pointers[i] = fleet.pointers[k];
			fleet.pointers[k] = swap;
			fleet.blocked[i] = fleet.blocked[k];
			fleet.blocked[k] = why;
		}
		ranked = rank(&fleet, present);
		for (size_t i = 0; i < count; i++) {
			const struct deployment *deployment = ranked[i].deployment;
			bool never = strcmp(deployment->id, present) == 0 || deployment->status == DEPLOYMENT_FAILED ||
				deployment->quarantine || deployment->health == HEALTH_FAILING;

			if ((never && ranked[i].eligible) || (i > 0 && !may_follow(&ranked[i - 1], &ranked[i])) || !*ranked[i].reason)
				fail_msg("seed %llu round %d place %zu", (unsigned long long)seed, round, i);
			stable += ranked[i].last_stable;
			if (ranked[i].last_stable)
				assert_true(i == 0 && ranked[i].eligible && deployment->health == HEALTH_PASSING);
		}
		assert_int_equal(stable, ranked[0].eligible && ranked[0].deployment->health == HEALTH_PASSING);
	}
}

static void as_json(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct deployment deployment = { .id = "dep-1",
		.environment = "production",
		.version = "1.0.0",
		.seq = 4,
		.wall_ms = 1795236813120,
		.recorded_by = "ci",
		.health = HEALTH_PASSING,
		.passing = 2,
		.health_ms = 1795236814000,
		.status = DEPLOYMENT_ROLLED_BACK,
		.quarantine = "bad" };

	assert_string_equal(json_canonical(ctx, json_keep(ctx, deployment_json(&deployment))),
		"{\"components\":{},\"configVersion\":null,\"environment\":\"production\",\"failing\":0,\"gitSha\":null,\"health\":\"passing\","
		"\"healthAt\":\"2026-11-21T04:53:34.000Z\",\"id\":\"dep-1\",\"migration\":null,\"passing\":2,\"quarantine\":\"bad\","
		"\"recordedAt\":\"2026-11-21T04:53:33.120Z\",\"recordedBy\":\"ci\",\"rollbackOf\":null,\"rollbackTarget\":false,\"seq\":4,"
		"\"status\":\"rolled-back\",\"version\":\"1.0.0\"}");
}

static void names(void **state)
{
	struct err err = ERR_INIT;
	enum health health;

	for (int i = HEALTH_UNKNOWN; i <= HEALTH_FAILING; i++) {
		assert_int_equal(health_parse(health_name((enum health)i), &health, &err), 0);
		assert_int_equal(health, i);
	}
	assert_int_equal(health_parse("passed", &health, &err), -ERR_INVALID);
	assert_string_equal(deployment_status_name(DEPLOYMENT_SUCCEEDED), "succeeded");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_evidence),
		cmocka_unit_test(objections),
		cmocka_unit_test(nothing_stable),
		cmocka_unit_test(returned_content),
		cmocka_unit_test(random_fleets),
		cmocka_unit_test(as_json),
		cmocka_unit_test(names),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
