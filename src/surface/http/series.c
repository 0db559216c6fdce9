/* Series: see series.h. A map from family and labels, as they are written, to the numbers; in each family in the order of their making. No threads. */
#include "surface/http/series.h"

#include <math.h>
#include <string.h>
#include <uthash.h>

#include "base/text.h"

struct series {
	const struct family *family;
	char *environment;                    /* NULL: none */
	char *labels;                         /* "" or 'environment="production",status="completed"' */
	double value;                         /* of a histogram: the sum */
	uint64_t buckets[SERIES_BUCKETS + 1]; /* not cumulated; the last: above all bounds */
	UT_hash_handle hh;
	char key[]; /* number of the family, ':', labels */
};

struct series_set {
	const struct family *families;
	struct series *by_key;
};

static int set_free(struct series_set *set)
{
	HASH_CLEAR(hh, set->by_key); /* the series themselves are in the tree */
	return 0;
}

struct series_set *series_set_new(const void *ctx, const struct family *families)
{
	struct series_set *set = mem_zero(ctx, struct series_set);

	talloc_set_destructor(set, set_free);
	set->families = families;
	return set;
}

static char *append_label(char *text, const char *name, const char *value)
{
	_cleanup_talloc_ char *clean = mem_check(talloc_size(NULL, strlen(value) * 2 + 1));
	char *to = clean;

	for (; *value; value++) {
		if (*value == '\\' || *value == '"' || *value == '\n')
			*to++ = '\\';
		*to++ = *value == '\n' ? 'n' : *value;
	}
	*to = '\0';
	return mem_appendf(text, "%s%s=\"%s\"", *text ? "," : "", name, clean);
}

static char *label_text(const char *environment, const struct label *labels)
{
	char *text = mem_strdup(NULL, "");

	if (environment)
		text = append_label(text, "environment", environment);
	for (; labels && labels->name; labels++)
		if (labels->value)
			text = append_label(text, labels->name, labels->value);
	return text;
}

/* NOLINTNEXTLINE(readability-function-size): the macros of uthash nest deeply */
struct series *series_get(struct series_set *set, const struct family *family, const char *environment, const struct label *labels)
{
	static const struct label other[] = { { "other", "true" }, { 0 } };
	_cleanup_talloc_ char *text = label_text(environment, labels);
	_cleanup_talloc_ char *key = mem_printf(NULL, "%td:%s", family - set->families, text);
	struct series *series;

	HASH_FIND_STR(set->by_key, key, series);
	if (series)
		return series;
	if (HASH_COUNT(set->by_key) >= SERIES_MAX && labels != other)
		return series_get(set, family, NULL, other);
	series = mem_check(talloc_zero_size(set, sizeof(*series) + strlen(key) + 1));
	memcpy(series->key, key, strlen(key) + 1);
	series->family = family;
	series->environment = mem_strdup(series, environment);
	series->labels = mem_strdup(series, text);
	HASH_ADD_STR(set->by_key, key, series);
	return series;
}

void series_add(struct series *series, double value)
{
	series->value += value;
}

void series_set_value(struct series *series, double value)
{
	series->value = value;
}

static size_t bound_count(const struct family *family)
{
	size_t count = 0;

	while (count < SERIES_BUCKETS && family->bounds[count] > 0)
		count++;
	return count;
}

void series_observe(struct series *series, double value)
{
	size_t bucket = 0, count = bound_count(series->family);

	while (bucket < count && value > series->family->bounds[bucket])
		bucket++;
	series->buckets[bucket]++;
	series->value += value;
}

/* Whole numbers without a fraction; large ones (moments in time) to the millisecond, small ones with nine digits. */
static void write_value(FILE *out, double value)
{
	if (fabs(value) < 1e15 && floor(value) == value)
		fprintf(out, "%.0f\n", value);
	else
		fprintf(out, fabs(value) >= 1e6 ? "%.3f\n" : "%.9g\n", value);
}

static void write_histogram(FILE *out, const char *name, const char *labels, const double *bounds, const uint64_t *buckets, size_t count,
	double sum)
{
	const char *comma = *labels ? "," : "";
	unsigned long long total = 0;

	for (size_t i = 0; i < count; i++) {
		total += buckets[i];
		fprintf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, labels, comma, bounds[i], total);
	}
	total += buckets[count];
	fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, total);
	fprintf(out, *labels ? "%s_sum{%s} " : "%s_sum%s ", name, labels);
	write_value(out, sum);
	fprintf(out, *labels ? "%s_count{%s} %llu\n" : "%s_count%s %llu\n", name, labels, total);
}

void series_write_family(FILE *out, const char *name, enum family_type type, const char *help)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };

	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

static void write_sample(FILE *out, const char *name, const char *labels, double value)
{
	fprintf(out, *labels ? "%s{%s} " : "%s%s ", name, labels);
	write_value(out, value);
}

void series_write_sample(FILE *out, const char *name, const struct label *labels, double value)
{
	_cleanup_talloc_ char *text = label_text(NULL, labels);

	write_sample(out, name, text, value);
}

void series_write_histogram(FILE *out, const char *name, const struct label *labels, const double *bounds, const uint64_t *buckets,
	size_t count, double sum)
{
	_cleanup_talloc_ char *text = label_text(NULL, labels);

	write_histogram(out, name, text, bounds, buckets, count, sum);
}

void series_write(const struct series_set *set, FILE *out, bool (*visible)(void *user, const char *environment), void *user)
{
	for (const struct family *family = set->families; family->name; family++) {
		bool begun = false;

		for (const struct series *series = set->by_key; series; series = series->hh.next) {
			if (series->family != family || (series->environment && !visible(user, series->environment)))
				continue;
			if (!begun)
				series_write_family(out, family->name, family->type, family->help);
			begun = true;
			if (family->type == FAMILY_HISTOGRAM)
				write_histogram(out, family->name, series->labels, family->bounds, series->buckets, bound_count(family),
					series->value);
			else
				write_sample(out, family->name, series->labels, series->value);
		}
	}
}
