/* Runs as traces (otlp.h).
 *
 * Form of the JSON, where it differs from what one would guess: ids are hexadecimal text, 64-bit numbers are decimal text, enums are
 * numbers. Spans of attempts begin with step.begun and end with the step.ended of the same step, verb and attempt; a capture has no
 * beginning of its own, but says how long it took. An attempt whose call was never made, and one that has no end, are no spans. */
#include "surface/http/otlp.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "core/run.h"
#include "data/hash.h"
#include "data/json.h"

#define KIND_INTERNAL 1 /* SpanKind */
#define KIND_SERVER   2
#define STATUS_OK     1 /* StatusCode */
#define STATUS_ERROR  2
#define TRACE_DIGITS  32
#define SPAN_DIGITS   16
#define HEADERS_MAX   32

struct trace {
	const void *ctx;
	const char *project;
	const struct entry *entries;
	size_t count;
	const struct entry *requested, *ended;
	const char *id, *root;
	json_t *spans;
};

static const char *made_id(const struct trace *trace, const char *what, int64_t seq, int digits)
{
	const char *text = mem_printf(trace->ctx, "%s\n%s\n%lld", what, trace->requested->run, (long long)seq);
	char sum[HASH_HEX_SIZE];

	hash_sha256_hex(text, strlen(text), sum);
	return mem_printf(trace->ctx, "%.*s", digits, sum);
}

static void put_text(json_t *attributes, const char *key, const char *value)
{
	if (value)
		json_array_append_new(attributes, json_pack("{s:s, s:{s:s}}", "key", key, "value", "stringValue", value));
}

static void put_number(const struct trace *trace, json_t *attributes, const char *key, int64_t value)
{
	json_array_append_new(attributes,
		json_pack("{s:s, s:{s:s}}", "key", key, "value", "intValue", mem_printf(trace->ctx, "%lld", (long long)value)));
}

static const char *nanoseconds(const struct trace *trace, int64_t wall_ms)
{
	return mem_printf(trace->ctx, "%lld000000", (long long)wall_ms);
}

/* A new reference. `attributes` is taken over. `trouble`: why it is an error; NULL: it is none. */
static void add_span(struct trace *trace, const char *id, const char *parent, const char *name, int kind, int64_t from_ms, int64_t to_ms,
	json_t *attributes, const char *trouble)
{
	json_t *span = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:o, s:{s:i}}", "traceId", trace->id, "spanId", id, "name", name, "kind",
		kind, "startTimeUnixNano", nanoseconds(trace, MIN(from_ms, to_ms)), "endTimeUnixNano", nanoseconds(trace, to_ms),
		"attributes", attributes, "status", "code", trouble ? STATUS_ERROR : STATUS_OK);

	json_put_str(span, "parentSpanId", parent);
	if (trouble && *trouble)
		json_put_str(json_object_get(span, "status"), "message", trouble);
	json_array_append_new(trace->spans, span);
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

/* Words of the conventions: cicd.pipeline.result. */
static const char *run_result(const struct trace *trace, const char *status)
{
	for (size_t i = 0; i < trace->count; i++)
		if (!strcmp(trace->entries[i].kind, ENTRY_RUN_CANCEL))
			return "cancellation";
	return !strcmp(status, run_status_name(RUN_COMPLETED))  ? "success"
		: !strcmp(status, run_status_name(RUN_REFUSED)) ? "skip"
		: !strcmp(status, run_status_name(RUN_FAILED))  ? "error"
								: "failure";
}

static void add_root(struct trace *trace)
{
	json_t *attributes = json_array(), *requested = trace->requested->data;
	const char *status = json_str(trace->ended->data, "status", ""), *result = run_result(trace, status);
	const char *message = json_str(trace->ended->data, "message", NULL);
	bool completed = !strcmp(status, run_status_name(RUN_COMPLETED));
	const char *name = mem_printf(trace->ctx, "%s/%s", trace->project,
		trace->requested->environment ? trace->requested->environment : "");

	put_text(attributes, "cicd.pipeline.name", name);
	put_text(attributes, "cicd.pipeline.action.name", "ROLLBACK");
	put_text(attributes, "cicd.pipeline.run.id", trace->requested->run);
	put_text(attributes, "cicd.pipeline.result", result);
	put_text(attributes, "deployment.environment.name", trace->requested->environment);
	put_text(attributes, "unship.run.status", status);
	put_text(attributes, "unship.deployment.from", json_str(requested, "from", NULL));
	put_text(attributes, "unship.deployment.to", json_str(requested, "to", NULL));
	put_text(attributes, "unship.actor", trace->requested->actor);
	if (!completed)
		put_text(attributes, "error.type", json_str(trace->ended->data, "code", "_OTHER"));
	add_span(trace, trace->root, NULL, mem_printf(trace->ctx, "ROLLBACK %s", name), KIND_SERVER, trace->requested->wall_ms,
		trace->ended->wall_ms, attributes,
		completed         ? NULL
			: message ? message
				  : status);
}

/* --- attempts of steps -------------------------------------------------------------------------------------------- */

static bool is_same_attempt(const struct entry *begun, const struct entry *ended)
{
	return !strcmp(json_str(begun->data, "step", ""), json_str(ended->data, "step", "")) &&
		!strcmp(json_str(begun->data, "verb", ""), json_str(ended->data, "verb", "")) &&
		json_int(begun->data, "attempt", 0) == json_int(ended->data, "attempt", 0);
}

/* The step.begun that this outcome belongs to: the newest before it; NULL: none. */
static const struct entry *beginning_of(const struct trace *trace, const struct entry *ended)
{
	for (const struct entry *at = ended; at > trace->entries; at--)
		if (!strcmp(at[-1].kind, ENTRY_STEP_BEGUN) && is_same_attempt(&at[-1], ended))
			return &at[-1];
	return NULL;
}

static const char *step_name(const struct trace *trace, const char *id)
{
	json_t *step;
	size_t index;

	json_array_foreach(json_object_get(json_object_get(trace->requested->data, "plan"), "steps"), index, step)
		if (!strcmp(json_str(step, "id", ""), id))
			return json_str(step, "name", id);
	return id;
}

static void add_attempt(struct trace *trace, const struct entry *ended)
{
	const char *step = json_str(ended->data, "step", ""), *verb = json_str(ended->data, "verb", "");
	const char *outcome = json_str(ended->data, "outcome", ""), *code = json_str(ended->data, "code", NULL);
	const struct entry *begun = beginning_of(trace, ended);
	int64_t attempt = json_int(ended->data, "attempt", 1), from_ms;
	bool done = !strcmp(outcome, "done");
	json_t *attributes;

	if (json_flag(ended->data, "notBegun", false))
		return;
	from_ms = begun ? begun->wall_ms : ended->wall_ms - json_int(ended->data, "durationMs", 0);
	attributes = json_array();
	put_text(attributes, "cicd.pipeline.task.name", step_name(trace, step));
	put_text(attributes, "cicd.pipeline.task.run.id",
		mem_printf(trace->ctx, "%s/%s/%s/%lld", trace->requested->run, step, verb, (long long)attempt));
	put_text(attributes, "cicd.pipeline.task.run.result", done ? "success" : !strcmp(outcome, "unknown") ? "error" : "failure");
	put_text(attributes, "unship.step.id", step);
	put_text(attributes, "unship.step.verb", verb);
	put_number(trace, attributes, "unship.step.attempt", attempt);
	if (!done)
		put_text(attributes, "error.type", code ? code : "_OTHER");
	add_span(trace, made_id(trace, "step", ended->seq, SPAN_DIGITS), trace->root, mem_printf(trace->ctx, "%s %s", verb, step),
		KIND_INTERNAL, from_ms, ended->wall_ms, attributes, done ? NULL : json_str(ended->data, "message", ""));
}

json_t *otlp_trace(const void *ctx, const char *project, const struct entry *entries, size_t count)
{
	struct trace trace = { .ctx = ctx, .project = project, .entries = entries, .count = count, .requested = entries };
	json_t *resource;

	if (count == 0 || !entries[0].run || strcmp(entries[0].kind, ENTRY_RUN_REQUESTED) != 0)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(entries[i].kind, ENTRY_RUN_ENDED))
			trace.ended = &entries[i];
	if (!trace.ended)
		return NULL;
	trace.id = made_id(&trace, "trace", 0, TRACE_DIGITS);
	trace.root = made_id(&trace, "run", 0, SPAN_DIGITS);
	trace.spans = json_array();
	add_root(&trace);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(entries[i].kind, ENTRY_STEP_ENDED))
			add_attempt(&trace, &entries[i]);
	resource = json_array();
	put_text(resource, "service.name", "unship");
	put_text(resource, "service.version", UNSHIP_VERSION);
	put_text(resource, "service.namespace", project);
	return json_pack("{s:[{s:{s:o}, s:[{s:{s:s, s:s}, s:o}]}]}", "resourceSpans", "resource", "attributes", resource, "scopeSpans",
		"scope", "name", "unship", "version", UNSHIP_VERSION, "spans", trace.spans);
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* %XX in place. False: what comes out cannot stand in a header. */
static bool decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		bool escaped = from[0] == '%' && digit(from[1]) >= 0 && digit(from[2]) >= 0;
		int c = escaped ? digit(from[1]) * 16 + digit(from[2]) : (unsigned char)*from;

		if (c < 0x20 || c == 0x7f)
			return false;
		*to++ = (char)c;
		from += escaped ? 2 : 0;
	}
	*to = 0;
	return true;
}

static bool is_header_name(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("!#$%&'*+-.^_`|~", text[i]))
			return false;
	return length > 0;
}

const char **otlp_headers(const void *ctx, const char *text)
{
	char **pairs = text_split(ctx, text, ',');
	const char **lines = mem_array(ctx, const char *, HEADERS_MAX + 1);
	size_t count = 0;

	for (; *pairs && count < HEADERS_MAX; pairs++) {
		char *value = strchr(*pairs, '='), *end = value;

		if (!value)
			continue;
		while (end > *pairs && end[-1] == ' ')
			end--;
		*end = 0;
		value += 1 + strspn(value + 1, " ");
		if (is_header_name(*pairs) && decode(value))
			lines[count++] = mem_printf(ctx, "%s: %s", *pairs, value);
	}
	return lines;
}
