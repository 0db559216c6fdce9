/* Readiness for people: one line per deployment, and under it what would be lost or what speaks against it. */
#include <string.h>

#include "base/text.h"
#include "surface/cli/cli.h"

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

static const char *took(struct cli *cli, json_t *estimate, int64_t objective_ms)
{
	const char *basis = get(estimate, "basis");
	int64_t median = json_int(estimate, "medianMs", 0);

	if (!*basis || !strcmp(basis, "none"))
		return "how long it takes is not known: no history";
	return mem_printf(cli->ctx, "takes %s, at worst %s (%s)%s", text_format_duration(cli->ctx, median),
		text_format_duration(cli->ctx, json_int(estimate, "worstMs", 0)),
		!strcmp(basis, "runs") ? text_count(cli->ctx, (uint64_t)json_int(estimate, "runs", 0), "run") : "from its steps",
		objective_ms && median > objective_ms
			? mem_printf(cli->ctx, ": longer than %s", text_format_duration(cli->ctx, objective_ms))
			: "");
}

static void print_against(struct cli *cli, json_t *target)
{
	json_t *finding;
	size_t index;

	json_array_foreach(json_object_get(target, "findings"), index, finding) {
		const char *severity = get(finding, "severity"), *component = get(finding, "component");

		if (json_flag(finding, "passed", false) || !strcmp(severity, "info"))
			continue;
		out(cli, "      %s %s%s%s: %s", mark_text(cli, !strcmp(severity, "error") ? MARK_FAIL : MARK_WARN), component,
			*component ? ": " : "", get(finding, "name"), get(finding, "message"));
	}
}

/* Readiness is told with the data preserved; where only the schema is in the way, there is another way back. */
static const char *way_out(struct cli *cli, json_t *answer)
{
	json_t *target, *finding;
	size_t index, at;

	json_array_foreach(json_object_get(answer, "targets"), index, target) {
		size_t schema = 0;

		json_array_foreach(json_object_get(target, "findings"), at, finding)
			schema += !json_flag(finding, "passed", false) && !strcmp(get(finding, "severity"), "error") &&
				!strcmp(get(finding, "name"), "schema_compatibility");
		if (schema && (int64_t)schema == json_int(target, "blocking", 0))
			return mem_printf(cli->ctx,
				"; `unship plan %s --to %s --no-preserve-data` tells what it costs to take the data back as well",
				get(answer, "environment"), get(target, "version"));
	}
	return "";
}

void render_readiness(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *targets = json_object_get(answer, "targets"), *target, *best = json_object_get(answer, "best"),
	       *present = json_object_get(answer, "present");
	size_t index;

	(void)err;
	if (!json_array_size(targets)) {
		out(cli, "%s there is no other deployment that '%s' could return to.", mark_text(cli, MARK_WARN),
			get(answer, "environment"));
		return;
	}
	out(cli, "%s%s\n", styled(cli, "bold", get(answer, "environment")),
		present ? mem_printf(cli->ctx, " runs %s (%s)", get(present, "version"), get(present, "deploymentId")) : "");
	json_array_foreach(targets, index, target) {
		bool ready = json_flag(target, "ready", false);
		json_t *lost = json_object_get(target, "lost"), *sentence;
		size_t at;

		out(cli, "  %s %s  %s  health %s%s", mark_text(cli, ready ? MARK_OK : MARK_FAIL),
			styled(cli, "bold", get(target, "version")), get(target, "deploymentId"), get(target, "health"),
			ready ? mem_printf(cli->ctx, "  %s",
					took(cli, json_object_get(target, "estimate"), json_int(answer, "objectiveMs", 0)))
			      : "  not ready");
		print_against(cli, target);
		json_array_foreach(lost, at, sentence)
			if (ready)
				out(cli, "      %s %s", styled(cli, "dim", "lost:"), json_string_value(sentence));
	}
	if (best)
		out(cli, "\n%s `unship rollback %s` would return to %s", mark_text(cli, MARK_OK), get(answer, "environment"),
			get(best, "version"));
	else if (json_int(answer, "ready", 0))
		out(cli, "\n%s none of them would be chosen by itself: name one with --to", mark_text(cli, MARK_WARN));
	else
		out(cli, "\n%s no deployment can be returned to right now%s", mark_text(cli, MARK_FAIL), way_out(cli, answer));
}
