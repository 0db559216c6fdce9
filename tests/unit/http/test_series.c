/* series.c: numbers with labels, and the text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "surface/http/series.h"

static const struct family families[] = {
	{ "a_total", FAMILY_COUNTER, "Counts." },
	{ "b_seconds", FAMILY_HISTOGRAM, "Times.", { 0.1, 1 } },
	{ "c", FAMILY_GAUGE, "Stands." },
	{ 0 },
};

static bool not_hidden(void *user, const char *environment)
{
	return !user || strcmp(environment, user) != 0;
}

static char *written(void *ctx, const struct series_set *set, const char *hidden)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	series_write(set, out, not_hidden, (void *)hidden);
	fclose(out);
	return mem_strdup(ctx, text);
}

static void whole(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct series_set *set = series_set_new(ctx, families);
	const struct label status[] = { { "status", "completed" }, { "none", NULL }, { 0 } };

	series_observe(series_get(set, &families[1], NULL, NULL), 0.1);
	series_observe(series_get(set, &families[1], NULL, NULL), 0.5);
	series_observe(series_get(set, &families[1], NULL, NULL), 7);
	series_add(series_get(set, &families[0], "production", status), 1);
	series_add(series_get(set, &families[0], "production", status), 2);
	series_add(series_get(set, &families[0], "staging", NULL), 1);
	assert_string_equal(written(ctx, set, NULL),
		"# HELP a_total Counts.\n"
		"# TYPE a_total counter\n"
		"a_total{environment=\"production\",status=\"completed\"} 3\n"
		"a_total{environment=\"staging\"} 1\n"
		"# HELP b_seconds Times.\n"
		"# TYPE b_seconds histogram\n"
		"b_seconds_bucket{le=\"0.1\"} 1\n"
		"b_seconds_bucket{le=\"1\"} 2\n"
		"b_seconds_bucket{le=\"+Inf\"} 3\n"
		"b_seconds_sum 7.6\n"
		"b_seconds_count 3\n");
	assert_null(strstr(written(ctx, set, "production"), "production"));
	assert_non_null(strstr(written(ctx, set, "production"), "staging"));
}

static void escapes(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct series_set *set = series_set_new(ctx, families);
	const struct label label[] = { { "x", "a\"b\\c\nd" }, { 0 } };

	series_set_value(series_get(set, &families[2], NULL, label), 1784612345.25);
	assert_string_equal(written(ctx, set, NULL), "# HELP c Stands.\n# TYPE c gauge\nc{x=\"a\\\"b\\\\c\\nd\"} 1784612345.250\n");
}

static void bounded(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct series_set *set = series_set_new(ctx, families);
	const char *text;
	size_t lines = 0;

	for (int i = 0; i < SERIES_MAX + 100; i++) {
		const struct label label[] = { { "x", mem_printf(ctx, "%d", i) }, { 0 } };

		series_add(series_get(set, &families[0], NULL, label), 1);
	}
	text = written(ctx, set, NULL);
	for (const char *at = text; *at; at++)
		lines += *at == '\n';
	assert_int_equal(lines, SERIES_MAX + 3);
	assert_non_null(strstr(text, "a_total{other=\"true\"} 100\n"));
}

static void counted_elsewhere(void **state)
{
	static const double bounds[] = { 0.5, 2 };
	static const uint64_t buckets[] = { 4, 0, 1 };
	const struct label label[] = { { "x", "y" }, { 0 } };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	series_write_histogram(out, "d", label, bounds, buckets, 2, 12.5);
	fclose(out);
	assert_string_equal(text,
		"d_bucket{x=\"y\",le=\"0.5\"} 4\nd_bucket{x=\"y\",le=\"2\"} 4\nd_bucket{x=\"y\",le=\"+Inf\"} 5\nd_sum{x=\"y\"} 12.5\nd_count{x=\"y\"} 5\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(escapes),
		cmocka_unit_test(bounded),
		cmocka_unit_test(counted_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
