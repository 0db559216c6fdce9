/* Health steps: rounds of probes until all pass (or warn) in one round, or the step's time is over. Rounds follow each other quickly at
 * first, because a service that was just started is usually there within
 * milliseconds, and then every 200 ms. Probes have no effect, so a round that was interrupted is simply run again. One thread. */
#include "runner/inner.h"

#include <string.h>

#include "data/json.h"

#define PAUSE_FIRST_MS 20
#define PAUSE_MAX_MS   200

struct health {
	const struct probe_config **probes;
	size_t count;
	json_t **results;     /* of this round; NULL: not yet */
	size_t started, over; /* of this round */
	int64_t until_ms;     /* monotonic: the attempt's end */
	int64_t round_ms;     /* monotonic: the round begins then */
	int64_t pause_ms;
};

static bool is_listed(json_t *list, const char *name)
{
	json_t *value;
	size_t index;

	if (json_is_string(list))
		return name && !strcmp(json_string_value(list), name);
	json_array_foreach(list, index, value)
		if (name && json_is_string(value) && !strcmp(json_string_value(value), name))
			return true;
	return false;
}

/* Named probes; else those of the named components and of no component; else all. */
static bool is_wanted(const struct probe_config *probe, json_t *parameters)
{
	json_t *names = json_object_get(parameters, "probes"), *components = json_object_get(parameters, "components");

	if (names)
		return is_listed(names, probe->name);
	if (probe->external) /* asked before a rollback: after it, it says nothing of it */
		return false;
	return !components || !probe->component || is_listed(components, probe->component);
}

void health_begin(struct active *a, struct run_step *step)
{
	const struct environment *environment = a->runner->environment;
	struct health *health = mem_zero(a->ctx, struct health);
	json_t *parameters = step->step->parameters;

	health->probes = mem_array(health, const struct probe_config *, environment->probe_count);
	health->results = mem_array(health, json_t *, environment->probe_count);
	for (size_t i = 0; i < environment->probe_count; i++)
		if (is_wanted(&environment->probes[i], parameters))
			health->probes[health->count++] = &environment->probes[i];
	health->round_ms = active_mono(a);
	health->until_ms = health->round_ms + step->step->timeout_ms;
	health->pause_ms = PAUSE_FIRST_MS;
	*active_memory(a, step) = (struct memory){ .health = health, .begun_ms = health->round_ms };
	step->calling = VERB_APPLY;
	step->stopping = false;
}

static json_t *probe_json(struct active *a, const struct probe_config *probe, const char *status, const char *message, json_t *details)
{
	json_t *object = json_make(a->ctx, "{s:s, s:s, s:s}", "name", probe->name, "type", probe->type, "status", status);

	json_put_str(object, "component", probe->component);
	json_put_str(object, "message", message);
	json_put(object, "details", details);
	return object;
}

void health_result(struct active *a, const struct flight *flight, const struct work_result *result)
{
	struct health *health = active_memory(a, flight->step)->health;
	const struct probe_config *probe;
	const char *status;

	if (!health)
		return;
	probe = health->probes[flight->probe];
	health->over++;
	if (!result->result) {
		health->results[flight->probe] = probe_json(a, probe, "fail", result->err.text, NULL);
		return;
	}
	status = json_str(result->result, "status", "");
	if (strcmp(status, "pass") != 0 && strcmp(status, "warn") != 0)
		status = "fail";
	health->results[flight->probe] = probe_json(a, probe, status, json_str(result->result, "message", NULL),
		json_object_get(result->result, "details"));
}

static void start_probe(struct active *a, struct run_step *step, struct health *health)
{
	struct flight flight = { .step = step, .verb = VERB_NONE, .probe = health->started };
	const struct probe_config *probe = health->probes[health->started];
	struct err why = ERR_INIT;
	struct work work;
	int r;

	health->started++;
	r = call_probe(a->ctx, a->runner->environment, probe, a->run->id, &a->runner->places, active_mono(a), health->until_ms, &work,
		&why);
	if (r == 0)
		r = active_start(a, &work, &flight, &why);
	if (r < 0) {
		health->over++;
		health->results[flight.probe] = probe_json(a, probe, "fail", why.text, NULL);
	}
}

static json_t *round_json(struct active *a, const struct health *health)
{
	json_t *list = json_make(a->ctx, "[]");

	for (size_t i = 0; i < health->count; i++)
		if (health->results[i])
			json_array_append(list, health->results[i]);
	return json_make(a->ctx, "{s:{s:O}}", "outputs", "probes", list);
}

static const struct probe_config *first_failing(const struct health *health, size_t *ret_count, const char **ret_message)
{
	const struct probe_config *first = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < health->count; i++) {
		if (!health->results[i] || strcmp(json_str(health->results[i], "status", ""), "fail") != 0)
			continue;
		if (!first) {
			first = health->probes[i];
			*ret_message = json_str(health->results[i], "message", "failed");
		}
		++*ret_count;
	}
	return first;
}

/* All probes of the round have answered: done, failed for good, or another round. */
static void round_over(struct active *a, struct run_step *step, struct health *health)
{
	const char *message = NULL;
	const struct probe_config *first;
	size_t failing;

	first = first_failing(health, &failing, &message);
	if (step->stopping) {
		active_outcome(a, step, VERB_APPLY, OUTCOME_FAILED, ERR_CANCELLED, "stopped: the run is being taken back", false,
			round_json(a, health));
	} else if (!first) {
		active_outcome(a, step, VERB_APPLY, OUTCOME_DONE, ERR_NONE, NULL, false, round_json(a, health));
	} else if (active_mono(a) + health->pause_ms >= health->until_ms) {
		message = mem_printf(a->ctx, "%zu of %zu probes fail after %lld s: %s: %s", failing, health->count,
			(long long)(step->step->timeout_ms / 1000), first->name, message);
		active_outcome(a, step, VERB_APPLY, OUTCOME_FAILED, ERR_FAILED, message, true, round_json(a, health));
	} else {
		health->round_ms = active_mono(a) + health->pause_ms;
		health->pause_ms = MIN(health->pause_ms * 2, PAUSE_MAX_MS);
		health->started = health->over = 0;
		memset(health->results, 0, health->count * sizeof(*health->results));
	}
}

int health_tick(struct active *a, struct err *err)
{
	size_t room = ENGINE_PARALLEL_MAX;

	for (size_t i = 0; i < a->flight_count; i++)
		room -= a->flights[i].verb == VERB_NONE && room > 0;
	for (size_t i = 0; i < a->run->plan->step_count; i++) {
		struct run_step *step = &a->run->steps[i];
		struct health *health = a->memories[i].health;

		if (!health || (health->round_ms > active_mono(a) && !step->stopping))
			continue;
		while (!step->stopping && health->started < health->count && room > 0 && a->flight_count < ARRAY_SIZE(a->flights)) {
			start_probe(a, step, health);
			room--;
		}
		if (health->over == health->started && (step->stopping || health->started == health->count))
			round_over(a, step, health);
	}
	return active_flush(a, err);
}

int64_t health_next_ms(const struct active *a)
{
	int64_t next_ms = INT64_MAX;

	for (size_t i = 0; i < a->run->plan->step_count; i++)
		if (a->memories[i].health && a->memories[i].health->started == 0)
			next_ms = MIN(next_ms, a->memories[i].health->round_ms);
	return next_ms;
}
