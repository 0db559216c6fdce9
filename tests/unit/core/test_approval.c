/* Approvals: rows of lives that must be accepted or refused, and properties that hold over thousands of random sequences of entries,
 * compared with a model that only counts. */
#include "given.h"

#include "core/approval.h"

#define HOUR 3600000

struct life {
	void *ctx;
	struct entry list[64];
	size_t count;
};

static struct life begin(int64_t required)
{
	struct life life = { .ctx = mem_context(NULL) };

	life.list[life.count++] = (struct entry){ .kind = ENTRY_APPROVAL_REQUESTED,
		.environment = "production",
		.actor = "ana",
		.wall_ms = 1000,
		.data = json_make(life.ctx, "{s:s, s:s, s:s, s:{s:s}, s:[s], s:I, s:I}", "approval", "apr-1", "operation",
			"rollbacks.create", "principal", "prn-ana", "input", "environment", "production", "needs", "execute", "required",
			(json_int_t)required, "ttlMs", (json_int_t)HOUR) };
	return life;
}

static void vote(struct life *life, const char *principal, bool approves, int64_t at_ms)
{
	life->list[life->count++] = (struct entry){ .kind = ENTRY_APPROVAL_GIVEN,
		.actor = principal,
		.wall_ms = at_ms,
		.data = json_make(life->ctx, "{s:s, s:s, s:b}", "approval", "apr-1", "principal", principal, "approves", approves) };
}

static void add(struct life *life, const char *kind, int64_t at_ms)
{
	life->list[life->count++] = (struct entry){ .kind = kind,
		.actor = "ana",
		.wall_ms = at_ms,
		.data = json_make(life->ctx, "{s:s}", "approval", "apr-1") };
}

static enum approval_status status_of(struct life *life, int64_t now_ms)
{
	struct err error = ERR_INIT;
	struct approval *approval = NULL;

	if (approval_fold(life->ctx, life->list, life->count, &approval, &error) < 0)
		fail_msg("%s", error.text);
	return approval_status_at(approval, now_ms);
}

static void expect_refused(struct life *life)
{
	struct err error = ERR_INIT;
	struct approval *approval = NULL;

	assert_int_equal(approval_fold(life->ctx, life->list, life->count, &approval, &error), -ERR_CORRUPT);
	talloc_free(life->ctx);
}

static void enough_distinct_people_approve(unused_arg void **state)
{
	struct life life = begin(2);

	assert_int_equal(status_of(&life, 2000), APPROVAL_PENDING);
	vote(&life, "prn-ben", true, 2000);
	assert_int_equal(status_of(&life, 3000), APPROVAL_PENDING);
	vote(&life, "prn-cho", true, 3000);
	assert_int_equal(status_of(&life, 3000), APPROVAL_APPROVED);
	add(&life, ENTRY_APPROVAL_USED, 4000);
	assert_int_equal(status_of(&life, 4000), APPROVAL_USED);
	talloc_free(life.ctx);
}

static void one_rejection_ends_it(unused_arg void **state)
{
	struct life life = begin(2);

	vote(&life, "prn-ben", true, 2000);
	vote(&life, "prn-cho", false, 2500);
	assert_int_equal(status_of(&life, 3000), APPROVAL_REJECTED);
	vote(&life, "prn-dan", true, 3000);
	expect_refused(&life);
}

static void the_requester_is_never_counted(unused_arg void **state)
{
	struct life life = begin(1);

	vote(&life, "prn-ana", true, 2000);
	expect_refused(&life);
}

static void nobody_is_counted_twice(unused_arg void **state)
{
	struct life life = begin(2);

	vote(&life, "prn-ben", true, 2000);
	vote(&life, "prn-ben", true, 2001);
	expect_refused(&life);
}

static void it_is_used_once(unused_arg void **state)
{
	struct life life = begin(1);

	vote(&life, "prn-ben", true, 2000);
	add(&life, ENTRY_APPROVAL_USED, 2500);
	add(&life, ENTRY_APPROVAL_USED, 2600);
	expect_refused(&life);
}

static void it_is_not_used_before_it_is_approved(unused_arg void **state)
{
	struct life life = begin(1);

	add(&life, ENTRY_APPROVAL_USED, 2500);
	expect_refused(&life);
}

static void a_request_and_an_approval_expire(unused_arg void **state)
{
	struct life life = begin(1);

	assert_int_equal(status_of(&life, 1000 + HOUR - 1), APPROVAL_PENDING);
	assert_int_equal(status_of(&life, 1000 + HOUR), APPROVAL_EXPIRED);
	vote(&life, "prn-ben", true, 1000 + HOUR - 1);
	assert_int_equal(status_of(&life, 1000 + 2 * HOUR - 2), APPROVAL_APPROVED);
	assert_int_equal(status_of(&life, 1000 + 2 * HOUR - 1), APPROVAL_EXPIRED);
	add(&life, ENTRY_APPROVAL_USED, 1000 + 2 * HOUR - 1);
	expect_refused(&life);

	life = begin(1);
	vote(&life, "prn-ben", true, 1000 + HOUR);
	expect_refused(&life);
}

static void it_is_withdrawn(unused_arg void **state)
{
	struct life life = begin(1);

	add(&life, ENTRY_APPROVAL_WITHDRAWN, 2000);
	assert_int_equal(status_of(&life, 2000), APPROVAL_WITHDRAWN);
	vote(&life, "prn-ben", true, 2001);
	expect_refused(&life);
}

static void entries_that_cannot_be_are_refused(unused_arg void **state)
{
	struct life life = begin(0);

	expect_refused(&life);
	life = begin(1);
	life.list[1] = life.list[0];
	life.count = 2;
	expect_refused(&life);
	life = begin(1);
	vote(&life, "prn-ben", true, 2000);
	json_put_str(life.list[1].data, "approval", "apr-2");
	expect_refused(&life);
	life = begin(1);
	vote(&life, "prn-ben", true, 2000);
	life.list[0] = life.list[1];
	expect_refused(&life);
}

static void who_may_vote(unused_arg void **state)
{
	struct grant here = { "production", ROLE_APPROVER, 0 }, there = { "staging", ROLE_APPROVER, 0 },
		     viewer = { "production", ROLE_VIEWER, 0 };
	struct principal ben = { "prn-ben", "ben", PRINCIPAL_PERSON, &here, 1, PERMISSIONS_ALL, NULL, NULL, 0 };
	struct life life = begin(2);
	struct err error = ERR_INIT;
	struct approval *approval = NULL;

	vote(&life, "prn-cho", true, 1500);
	assert_int_equal(approval_fold(life.ctx, life.list, life.count, &approval, &error), 0);
	assert_int_equal(approval_may_vote(approval, "prn-ben", &ben, 2000, &error), 0);
	assert_int_equal(approval_may_vote(approval, "prn-cho", &ben, 2000, &error), -ERR_CONFLICT);
	assert_int_equal(approval_may_vote(approval, "prn-ana", &ben, 2000, &error), -ERR_FORBIDDEN);
	assert_int_equal(approval_may_vote(approval, "prn-ben", &ben, 1000 + HOUR, &error), -ERR_INVALID);
	ben.grants = &there;
	assert_int_equal(approval_may_vote(approval, "prn-ben", &ben, 2000, &error), -ERR_FORBIDDEN);
	ben.grants = &viewer;
	assert_int_equal(approval_may_vote(approval, "prn-ben", &ben, 2000, &error), -ERR_FORBIDDEN);
	assert_int_equal(approval_may_vote(approval, "local:ben@laptop", NULL, 2000, &error), 0);
	talloc_free(life.ctx);
}

/* A model that only counts: what must hold whatever comes in whatever order. */
static void it_holds_over_random_lives(unused_arg void **state)
{
	static const char *const people[] = { "prn-ana", "prn-ben", "prn-cho", "prn-dan" };
	unsigned seed = 7, used = 0, refused = 0;

	for (int round = 0; round < 5000; round++) {
		int64_t required = 1 + rand_r(&seed) % 3, at_ms = 1000;
		struct life life = begin(required);
		bool voted[4] = { true, false, false, false }, ended = false;
		int64_t approvals = 0, approved_ms = 0;

		for (int step = 0; step < 12; step++) {
			struct approval *approval = NULL;
			struct err error = ERR_INIT;
			int what = rand_r(&seed) % 8, who = rand_r(&seed) % 4;
			bool expected, over;

			at_ms += rand_r(&seed) % (HOUR / 4);
			over = ended || (approved_ms ? at_ms >= approved_ms + HOUR : at_ms >= 1000 + HOUR);
			if (what < 6) {
				expected = !over && !approved_ms && !voted[who];
				vote(&life, people[who], what != 0, at_ms);
			} else {
				expected = !over && (what == 7 || approved_ms);
				add(&life, what == 6 ? ENTRY_APPROVAL_USED : ENTRY_APPROVAL_WITHDRAWN, at_ms);
			}
			if ((approval_fold(life.ctx, life.list, life.count, &approval, &error) == 0) != expected)
				fail_msg("round %d step %d: expected %d: %s", round, step, expected, error.text);
			if (!expected) {
				refused++;
				life.count--;
				continue;
			}
			if (what < 6) {
				voted[who] = true;
				ended = what == 0;
				approvals += what != 0;
				if (!ended && approvals >= required)
					approved_ms = at_ms;
			} else {
				ended = true;
				used += what == 6;
			}
			assert_int_equal(approval_status_at(approval, at_ms) == APPROVAL_APPROVED, !ended && approved_ms != 0);
		}
		talloc_free(life.ctx);
	}
	assert_true(used > 100 && refused > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enough_distinct_people_approve),
		cmocka_unit_test(one_rejection_ends_it),
		cmocka_unit_test(the_requester_is_never_counted),
		cmocka_unit_test(nobody_is_counted_twice),
		cmocka_unit_test(it_is_used_once),
		cmocka_unit_test(it_is_not_used_before_it_is_approved),
		cmocka_unit_test(a_request_and_an_approval_expire),
		cmocka_unit_test(it_is_withdrawn),
		cmocka_unit_test(entries_that_cannot_be_are_refused),
		cmocka_unit_test(who_may_vote),
		cmocka_unit_test(it_holds_over_random_lives),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
