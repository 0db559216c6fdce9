/* Asides: what is done in time comes back, what is not is given up and frees itself. */
#include "cmocka_base.h"

#include <stdatomic.h>

#include "base/aside.h"
#include "base/clock.h"

static atomic_int gate, freed;

struct job {
	int in, out;
};

static void double_it(void *user)
{
	struct job *job = user;

	job->out = job->in * 2;
}

static void wait_for_gate(unused_arg void *user)
{
	while (!atomic_load(&gate))
		clock_sleep_ms(1);
}

static int count_free(unused_arg struct job *job)
{
	atomic_fetch_add(&freed, 1);
	return 0;
}

static void comes_back(unused_arg void **state)
{
	struct job *job = mem_zero(NULL, struct job);
	struct aside *aside;

	job->in = 21;
	aside = aside_begin(double_it, job);
	assert_ptr_equal(aside_end(aside, clock_mono_ms() + 60000), job);
	assert_int_equal(job->out, 42);
	talloc_free(job);
}

static void is_given_up(unused_arg void **state)
{
	struct job *job = mem_zero(NULL, struct job);
	struct aside *aside;

	talloc_set_destructor(job, count_free);
	aside = aside_begin(wait_for_gate, job);
	assert_null(aside_end(aside, clock_mono_ms()));
	assert_int_equal(atomic_load(&freed), 0);
	atomic_store(&gate, 1);
	while (!atomic_load(&freed)) /* by its own thread, when it comes back */
		clock_sleep_ms(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(comes_back), cmocka_unit_test(is_given_up) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
