/* Entries as CloudEvents and CDEvents (cloudevents.h).
 *
 * CDEvents know services, runs of pipelines and incidents. A component is a service here, and a run a run of a pipeline:
 *
 *     run.requested, run.started, run.ended    pipelinerun.queued, .started, .finished
 *     deployment.recorded                      service.deployed for a component that was not there, .upgraded for one that has another
 * version than before
 *     run.ended (completed)                    service.rolledback for each component whose version it changed; .upgraded when it took a
 * rollback back
 *     signal.alert                             incident.detected, .resolved
 *
 * The artefact of a component is told as a package URL of the type generic: pkg:generic/PROJECT/COMPONENT@VERSION
 * (https://github.com/package-url/purl-spec). To tell one more: a row of `tellings`. */
#include "surface/http/cloudevents.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "core/run.h"
#include "data/json.h"

#define CDEVENTS_VERSION "0.5.0"

/* --- CloudEvents -------------------------------------------------------------------------------------------------- */

/* The attributes that all have. New reference. */
static json_t *envelope(const void *ctx, const char *source, const struct entry *entry, const char *id, const char *type,
	const char *subject)
{
	json_t *event = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "specversion", "1.0", "id", id, "source", source, "type", type, "time",
		clock_format(ctx, entry->wall_ms), "datacontenttype", "application/json");

	json_put_str(event, "subject", subject);
	/* An extension (sequence): text that sorts as the entries do. */
	json_put_str(event, "sequence", mem_printf(ctx, "%019lld", (long long)entry->seq));
	return event;
}

json_t *cloudevents_of(const void *ctx, const struct telling *telling, const struct entry *entry)
{
	json_t *event = envelope(ctx, telling->source, entry, entry->id, mem_printf(ctx, "unship.%s", entry->kind),
		entry->run ? entry->run : entry->environment);

	json_put_str(event, "environment", entry->environment);
	json_object_set_new(event, "data", entry_json(entry));
	return json_pack("[o]", event);
}

/* --- CDEvents ----------------------------------------------------------------------------------------------------- */

struct teller {
	const void *ctx;
	const struct telling *telling;
	const struct entry *entry;
	const struct told_change *change;
	json_t *events;
};

/* `part`: what tells several events of one entry apart; NULL: there is one. `content`: a reference is taken over. */
static void tell(struct teller *teller, const char *subject_type, const char *predicate, const char *version, const char *subject_id,
	const char *part, json_t *content)
{
	const void *ctx = teller->ctx;
	const char *id = part ? mem_printf(ctx, "%s.%s", teller->entry->id, part) : teller->entry->id;
	char *type = mem_printf(ctx, "dev.cdevents.%s.%s.%s", subject_type, predicate, version);
	json_t *event = envelope(ctx, teller->telling->source, teller->entry, id, type, subject_id);
	const char *subject = !strcmp(subject_type, "pipelinerun") ? "pipelineRun" : subject_type;

	json_object_set_new(event, "data",
		json_pack("{s:{s:s, s:s, s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:o}, s:{s:{s:I, s:s}}, s:s}", "context", "specversion",
			CDEVENTS_VERSION, "id", id, "source", teller->telling->source, "type", type, "timestamp",
			clock_format(ctx, teller->entry->wall_ms), "subject", "id", subject_id, "source", teller->telling->source, "type",
			subject, "content", content, "customData", "unship", "entry", (json_int_t)teller->entry->seq, "kind",
			teller->entry->kind, "customDataContentType", "application/json"));
	json_array_append_new(teller->events, event);
}

/* Where the run is told; a URI, as the schema wants it, also where no address of the server is known. */
static const char *run_uri(const struct teller *teller)
{
	const char *source = teller->telling->source;

	if (text_starts_with(source, "https://") || text_starts_with(source, "http://"))
		return mem_printf(teller->ctx, "%s%sapi/v1/rollbacks/%s", source, text_ends_with(source, "/") ? "" : "/",
			teller->entry->run);
	return mem_printf(teller->ctx, "urn:unship:%s", teller->entry->run);
}

static json_t *run_content(const struct teller *teller)
{
	return json_pack("{s:s, s:s}", "pipelineName",
		mem_printf(teller->ctx, "%s/%s", teller->telling->project, teller->entry->environment ? teller->entry->environment : ""),
		"uri", run_uri(teller));
}

static void tell_queued(struct teller *teller)
{
	tell(teller, "pipelinerun", "queued", "0.3.0", teller->entry->run, NULL, run_content(teller));
}

static void tell_started(struct teller *teller)
{
	if (!json_flag(teller->entry->data, "resumed", false))
		tell(teller, "pipelinerun", "started", "0.3.0", teller->entry->run, NULL, run_content(teller));
}

static json_t *service_content(const struct teller *teller, const char *component, const char *version)
{
	const void *ctx = teller->ctx;

	return json_pack("{s:{s:s}, s:s}", "environment", "id", teller->entry->environment, "artifactId",
		mem_printf(ctx, "pkg:generic/%s/%s@%s", text_url_encode(ctx, teller->telling->project), text_url_encode(ctx, component),
			text_url_encode(ctx, version)));
}

static const char *version_of(json_t *components, const char *name)
{
	return json_str(json_object_get(components, name), "version", "");
}

/* One event for each component whose version changed. */
static void tell_changes(struct teller *teller, const char *changed, const char *made)
{
	const struct told_change *change = teller->change;
	const char *name;
	json_t *component;

	if (!change || !teller->entry->environment)
		return;
	json_object_foreach(change->after, name, component) {
		const char *before = version_of(change->before, name), *after = version_of(change->after, name);

		if (*after && strcmp(before, after) != 0)
			tell(teller, "service", *before ? changed : made, "0.3.0",
				mem_printf(teller->ctx, "%s/%s", teller->telling->project, name), name,
				service_content(teller, name, after));
	}
}

static void tell_recorded(struct teller *teller)
{
	/* What a run recorded is told with the end of the run. */
	if (!json_object_get(json_object_get(teller->entry->data, "deployment"), "rollbackOf"))
		tell_changes(teller, "upgraded", "deployed");
}

static void tell_ended(struct teller *teller)
{
	const char *status = json_str(teller->entry->data, "status", ""), *message = json_str(teller->entry->data, "message", NULL);
	bool completed = !strcmp(status, run_status_name(RUN_COMPLETED));
	json_t *content = run_content(teller);

	/* restored: it failed, and nothing is broken; failed: a person is needed. */
	json_put_str(content, "outcome", completed ? "success" : !strcmp(status, run_status_name(RUN_FAILED)) ? "error" : "failure");
	if (!completed)
		json_put_str(content, "errors", message ? message : status);
	tell(teller, "pipelinerun", "finished", "0.3.0", teller->entry->run, NULL, content);
	if (completed && teller->change && teller->change->undone)
		tell_changes(teller, "upgraded", "upgraded");
	else if (completed)
		tell_changes(teller, "rolledback", "rolledback");
}

static void tell_alert(struct teller *teller)
{
	json_t *data = teller->entry->data, *annotations = json_object_get(data, "annotations"), *labels = json_object_get(data, "labels");
	const char *description = json_str(annotations, "summary", json_str(annotations, "description", json_str(labels, "alertname", "")));
	bool firing = !strcmp(json_str(data, "status", ""), "firing");
	json_t *content;

	if (!teller->entry->environment) /* an incident is one of an environment */
		return;
	content = json_pack("{s:{s:s}, s:s}", "environment", "id", teller->entry->environment, "description", description);
	tell(teller, "incident", firing ? "detected" : "resolved", "0.3.0",
		mem_printf(teller->ctx, "%s/%s/%s", json_str(data, "hook", ""), json_str(data, "fingerprint", ""),
			json_str(data, "startsAt", "")),
		NULL, content);
}

static const struct {
	const char *kind;
	void (*tell)(struct teller *teller);
	bool of_run, change;
} tellings[] = {
	{ ENTRY_RUN_REQUESTED, tell_queued, true, false },
	{ ENTRY_RUN_STARTED, tell_started, true, false },
	{ ENTRY_RUN_ENDED, tell_ended, true, true },
	{ ENTRY_DEPLOYMENT_RECORDED, tell_recorded, false, true },
	{ ENTRY_SIGNAL_ALERT, tell_alert, false, false },
};

json_t *cdevents_of(const void *ctx, const struct telling *telling, const struct entry *entry, const struct told_change *change)
{
	struct teller teller = { ctx, telling, entry, change, json_array() };

	for (size_t i = 0; i < ARRAY_SIZE(tellings); i++)
		if (!strcmp(tellings[i].kind, entry->kind) && (entry->run || !tellings[i].of_run))
			tellings[i].tell(&teller);
	return teller.events;
}

bool cdevents_needs_change(const struct entry *entry)
{
	for (size_t i = 0; i < ARRAY_SIZE(tellings); i++)
		if (tellings[i].change && !strcmp(tellings[i].kind, entry->kind))
			return true;
	return false;
}
