/* Series: the numbers behind /metrics, and how they are written. A family is one row of a table; a series is one family with one set of labels.
 * Pure memory; the owner locks. Text form: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#ifndef SURFACE_HTTP_SERIES_H
#define SURFACE_HTTP_SERIES_H

#include <stdio.h>

#include "base/mem.h"

#define SERIES_MAX     5000 /* what would be more is counted in the series "other" of its family, which has no labels but that */
#define SERIES_BUCKETS 12

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM };
struct family {
	const char *name; /* NULL ends a table */
	enum family_type type;
	const char *help;
	double bounds[SERIES_BUCKETS]; /* upper ones of a histogram, growing; the first 0 ends them */
};

struct label {
	const char *name, *value; /* value NULL: left out */
};

struct series;
struct series_set;
struct series_set *series_set_new(const void *ctx, const struct family *families);
/* The series of a family with these labels (name NULL ends them), made when there is none. `environment`: what it is about, for series_write; the label is added by itself; NULL: none. */
struct series *series_get(struct series_set *set, const struct family *family, const char *environment, const struct label *labels);
void series_add(struct series *series, double value);       /* counter, gauge */
void series_set_value(struct series *series, double value); /* gauge */
void series_observe(struct series *series, double value);   /* histogram */
/* All families that have a series. `visible`: may this environment be shown? */
void series_write(const struct series_set *set, FILE *out, bool (*visible)(void *user, const char *environment), void *user);

/* Numbers of this moment, that nobody keeps. */
void series_write_family(FILE *out, const char *name, enum family_type type, const char *help);
/* A histogram that is counted elsewhere: `buckets` not cumulated, one more than `bounds`: what is above the last. */
void series_write_histogram(FILE *out, const char *name, const struct label *labels, const double *bounds, const uint64_t *buckets,
	size_t count, double sum);
void series_write_sample(FILE *out, const char *name, const struct label *labels, double value);

#endif
