/* Runs and plans for people: what will change, what speaks against it, what happened, how long each phase took against its objective, and what to do next. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "surface/cli/cli.h"

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

static void print_candidates(struct cli *cli, json_t *candidates, const char *present)
{
	size_t count = json_array_size(candidates), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 4 + 1);
	static const char *const header[] = { "", "version", "deployment", "why" };
	json_t *candidate;

	if (!count)
		return;
	json_array_foreach(candidates, index, candidate) {
		bool eligible = json_flag(candidate, "eligible", false), runs_now = !strcmp(get(candidate, "id"), present);

		cells[index * 4] = runs_now ? "now"
					    : mark_text(cli,
						      json_flag(candidate, "lastStable", false) ? MARK_OK
							      : eligible                        ? MARK_NONE
												: MARK_FAIL);
		cells[index * 4 + 1] = get(candidate, "version");
		cells[index * 4 + 2] = get(candidate, "id");
		cells[index * 4 + 3] = get(candidate, "why");
	}
	out(cli, "%s", styled(cli, "bold", "Candidates, best first"));
	out_table(cli, header, cells, 4, MIN(count, 10));
	if (count > 10)
		out(cli, "and %zu more: `unship deployments ENV`", count - 10);
	out(cli, "%s", "");
}

static void print_items(struct cli *cli, json_t *items)
{
	size_t index;
	json_t *item;

	json_array_foreach(items, index, item) {
		const char *from = json_scalar_text(cli->ctx, json_object_get(item, "from")),
			   *to = json_scalar_text(cli->ctx, json_object_get(item, "to"));

		out(cli, "      %s: %s -> %s", get(item, "name"), from ? from : "(nothing)", to ? to : "(nothing)");
	}
}

static void print_differences(struct cli *cli, json_t *differences)
{
	size_t index;
	json_t *difference;

	if (!json_array_size(differences))
		return;
	out(cli, "%s", styled(cli, "bold", "Difference"));
	json_array_foreach(differences, index, difference) {
		const char *note = get(difference, "note"), *from = get(difference, "from"), *to = get(difference, "to");
		bool changes = json_flag(difference, "changes", false);
		char *what = strcmp(from, to) ? mem_printf(cli->ctx, "%s -> %s", *from ? from : "(nothing)", *to ? to : "(nothing)")
					      : mem_strdup(cli->ctx, from);

		out(cli, "  %s %-16s %-8s %s%s%s", changes ? styled(cli, "yellow", "~") : styled(cli, "dim", "="),
			get(difference, "component"), get(difference, "kind"), what, *note ? "   " : "", styled(cli, "dim", note));
		if (changes)
			print_items(cli, json_object_get(difference, "items"));
	}
	out(cli, "%s", "");
}

static void print_findings(struct cli *cli, json_t *findings)
{
	size_t index, passed = 0;
	json_t *finding;

	json_array_foreach(findings, index, finding)
		passed += json_flag(finding, "passed", false);
	out(cli, "%s %zu of %s passed", styled(cli, "bold", "Findings"), passed, text_count(cli->ctx, json_array_size(findings), "check"));
	json_array_foreach(findings, index, finding) {
		const char *severity = get(finding, "severity"), *component = get(finding, "component");

		if (json_flag(finding, "passed", false))
			continue;
		out(cli, "  %s %s%s%s: %s",
			mark_text(cli,
				!strcmp(severity, "error")             ? MARK_FAIL
					: !strcmp(severity, "warning") ? MARK_WARN
								       : MARK_NONE),
			component, *component ? ": " : "", get(finding, "name"), get(finding, "message"));
	}
	out(cli, "%s", "");
}

static void print_overrides(struct cli *cli, json_t *overrides)
{
	json_t *name;
	size_t index;

	if (!json_array_size(overrides))
		return;
	out(cli, "%s", styled(cli, "bold", "Overridden by --force"));
	json_array_foreach(overrides, index, name)
		out(cli, "  %s %s", mark_text(cli, MARK_WARN), json_string_value(name));
	out(cli, "%s", "");
}

void print_sentences(struct cli *cli, const char *title, json_t *sentences)
{
	json_t *sentence;
	size_t index;

	json_array_foreach(sentences, index, sentence) {
		if (!index)
			out(cli, "%s", styled(cli, "bold", title));
		out(cli, "  %s", json_string_value(sentence));
	}
	if (json_array_size(sentences))
		out(cli, "%s", "");
}

static void print_commits(struct cli *cli, const char *mark, json_t *commits)
{
	int64_t more = json_int(commits, "more", 0);
	json_t *commit;
	size_t index;

	json_array_foreach(json_object_get(commits, "commits"), index, commit)
		out(cli, "  %s %.8s %s  %s", mark, get(commit, "sha"), get(commit, "subject"), styled(cli, "dim", get(commit, "author")));
	if (more)
		out(cli, "  %s and %lld more", mark, (long long)more);
}

/* Commits one by one, then the three lists: what changes, what stays, what is lost. A saved plan has only what it leaves. */
static void print_difference(struct cli *cli, json_t *answer)
{
	json_t *difference = json_object_get(answer, "difference"), *code;
	size_t index;

	json_array_foreach(json_object_get(difference, "code"), index, code) {
		json_t *removed = json_object_get(code, "removed"), *added = json_object_get(code, "added");

		if (!json_flag(code, "returns", false) || json_int(removed, "count", 0) + json_int(added, "count", 0) == 0)
			continue;
		out(cli, "%s, %s", styled(cli, "bold", mem_printf(cli->ctx, "Commits of %s", get(code, "component"))),
			mem_printf(cli->ctx, "with %s between them",
				text_count(cli->ctx, (uint64_t)json_int(json_object_get(code, "files"), "count", 0), "file")));
		print_commits(cli, "-", removed);
		print_commits(cli, "+", added);
		out(cli, "%s", "");
	}
	print_sentences(cli, "Will change", json_object_get(difference, "willChange"));
	print_sentences(cli, "Stays as it is", json_object_get(difference ? difference : answer, "notReverted"));
	print_sentences(cli, "Will be lost", json_object_get(difference, "willBeLost"));
}

/* A value on one line. What could be taken for more than one value is quoted. */
static const char *value_text(struct cli *cli, json_t *value)
{
	const char *text = json_string_value(value);

	if (text && *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/:@")])
		return text;
	return json_canonical(cli->ctx, value);
}

/* What a step does it with, whole: what is left out might be what an approver has to see. */
static void print_parameters(struct cli *cli, json_t *parameters)
{
	char *line = mem_strdup(cli->ctx, "");
	const char *key;
	json_t *value;

	json_object_foreach(parameters, key, value)
		line = mem_appendf(line, "%s%s %s", *line ? ", " : "", key, value_text(cli, value));
	if (*line)
		out(cli, "      %s", line);
}

static void print_steps_of_plan(struct cli *cli, json_t *plan)
{
	json_t *steps = json_object_get(plan, "steps"), *step, *need;
	size_t index, at;

	out(cli, "%s %s, on failure: %s", styled(cli, "bold", "Plan"), text_count(cli->ctx, json_array_size(steps), "step"),
		json_str(plan, "onFailure", "restore"));
	json_array_foreach(steps, index, step) {
		char *needs = mem_strdup(cli->ctx, "");

		json_array_foreach(json_object_get(step, "needs"), at, need)
			needs = mem_appendf(needs, "%s%s", *needs ? ", " : "after ", json_string_value(need));
		out(cli, "  %2zu. %-26s %-14s %s", index + 1, get(step, "id"), get(step, "type"), styled(cli, "dim", needs));
		print_parameters(cli, json_object_get(step, "parameters"));
	}
	out(cli, "%s", "");
}

void render_plan(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	print_candidates(cli, json_object_get(answer, "candidates"), get(json_object_get(answer, "present"), "deploymentId"));
	if (!json_object_get(answer, "plan"))
		return;
	if (json_object_get(answer, "target"))
		out(cli, "%s %s -> %s (%s)\n", styled(cli, "bold", get(answer, "environment")),
			json_str(json_object_get(answer, "present"), "version", "(not recorded)"),
			get(json_object_get(answer, "target"), "version"), get(json_object_get(answer, "target"), "deploymentId"));
	print_differences(cli, json_object_get(answer, "differences"));
	print_findings(cli, json_object_get(answer, "findings"));
	print_overrides(cli, json_object_get(answer, "overrides"));
	print_difference(cli, answer);
	if (json_array_size(json_object_get(json_object_get(answer, "plan"), "steps")) == 0) {
		out(cli, "Nothing to do: '%s' is already there.", get(answer, "environment"));
		return;
	}
	print_steps_of_plan(cli, json_object_get(answer, "plan"));
	if (json_object_get(answer, "planHash"))
		out(cli, "plan hash %s", get(answer, "planHash"));
}

void render_plan_check(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	print_problems(cli, answer);
	if (json_flag(answer, "valid", false))
		out(cli, "%s %s: plan '%s', %s", mark_text(cli, MARK_OK), get(answer, "file"), get(answer, "id"),
			text_count(cli->ctx, (uint64_t)json_int(answer, "steps", 0), "step"));
}

void render_runbook(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	if (!cli->output)
		out(cli, "%s", get(answer, "markdown"));
}

static enum mark mark_of_status(const char *status)
{
	if (!strcmp(status, "done") || !strcmp(status, "completed"))
		return MARK_OK;
	if (!strcmp(status, "failed") || !strcmp(status, "undo_failed") || !strcmp(status, "unknown"))
		return MARK_FAIL;
	if (!strcmp(status, "undone") || !strcmp(status, "restored") || !strcmp(status, "refused"))
		return MARK_WARN;
	return !strcmp(status, "pending") || !strcmp(status, "skipped") ? MARK_NONE : MARK_BUSY;
}

/* From the first attempt to the last outcome. */
static const char *time_taken(struct cli *cli, json_t *step)
{
	struct err ignored = ERR_INIT;
	int64_t begun, ended;

	if (clock_parse(get(step, "startTime"), &begun, &ignored) < 0 || clock_parse(get(step, "endTime"), &ended, &ignored) < 0)
		return "";
	return text_format_duration(cli->ctx, ended - begun);
}

static void print_run_steps(struct cli *cli, json_t *steps)
{
	size_t index, at;
	json_t *step, *line;

	json_array_foreach(steps, index, step) {
		const char *status = get(step, "status"), *error = get(step, "error");
		bool bad = mark_of_status(status) == MARK_FAIL;

		out(cli, "  %s %-28s %-12s %s%s", mark_text(cli, mark_of_status(status)), get(step, "stepId"), status,
			time_taken(cli, step), *error ? mem_printf(cli->ctx, "  %s", error) : "");
		if (bad)
			json_array_foreach(json_object_get(step, "logs"), at, line)
				out(cli, "      %s", styled(cli, "dim", get(line, "message")));
	}
}

static void print_phases(struct cli *cli, json_t *phases)
{
	size_t index;
	json_t *phase;

	json_array_foreach(phases, index, phase) {
		int64_t objective = json_int(phase, "objectiveMs", 0);
		bool met = json_flag(phase, "met", true);

		out(cli, "  %s %-10s %10s%s", mark_text(cli, met ? MARK_NONE : MARK_WARN), get(phase, "name"),
			text_format_duration(cli->ctx, json_int(phase, "ms", 0)),
			objective ? mem_printf(cli->ctx, "   objective %s: %s", text_format_duration(cli->ctx, objective),
					    met ? "met" : "MISSED")
				  : "");
	}
}

/* Begun, not waiting for a person, and held by nobody. */
static bool abandoned(const json_t *run)
{
	const char *status = get(run, "status");

	return (!strcmp(status, "in_progress") || !strcmp(status, "pending")) && !json_flag(run, "carriedOut", true);
}

/* What the run left that nobody expects: what is not as before, and what it put into quarantine. */
static void print_left(struct cli *cli, json_t *answer)
{
	json_t *left, *quarantined = json_object_get(answer, "quarantined");
	size_t index;

	json_array_foreach(json_object_get(answer, "leftBehind"), index, left)
		out(cli, "%s step '%s' was not taken back: %s", mark_text(cli, MARK_FAIL), get(left, "step"),
			json_str(left, "why", get(left, "status")));
	if (quarantined && !json_flag(quarantined, "lifted", false))
		out(cli, "%s %s (%s) is in quarantine now, with health %s: no rollback chooses it; `%s` lifts that",
			mark_text(cli, !strcmp(get(quarantined, "health"), "passing") ? MARK_WARN : MARK_NONE),
			get(quarantined, "deploymentId"), get(quarantined, "version"), get(quarantined, "health"),
			get(quarantined, "lift"));
}

void render_run(struct cli *cli, json_t *answer, const struct err *err)
{
	const char *status = get(answer, "status"), *next = json_str(answer, "next", NULL), *message = json_str(answer, "message", NULL);
	json_t *to = json_object_get(answer, "rolledBackTo");

	if (json_object_get(answer, "approval")) { /* people have to approve, or have voted */
		render_approval(cli, answer, err);
		return;
	}
	if (!json_object_get(answer, "rollbackId")) { /* a plan that was not run */
		if (!(cli->live || (err && err->code == ERR_CANCELLED)))
			render_plan(cli, answer, err);
		return;
	}
	if (!cli->steps_shown || strcmp(status, "completed") != 0) { /* what went wrong is said with its output, also after the live view */
		print_run_steps(cli, json_object_get(json_object_get(answer, "run"), "steps"));
		out(cli, "%s", "");
	}
	print_phases(cli, json_object_get(answer, "phases"));
	out(cli, "%s", "");
	print_warnings(cli, answer);
	print_left(cli, answer);
	out(cli, "%s %s %s%s%s", mark_text(cli, mark_of_status(status)), get(answer, "rollbackId"), styled(cli, "bold", status),
		to ? mem_printf(cli->ctx, ": %s runs %s (%s)", get(answer, "environment"), get(to, "version"), get(to, "deploymentId"))
		   : "",
		message && !err ? mem_printf(cli->ctx, ": %s", message) : "");
	if (abandoned(answer))
		out(cli, "  nobody carries it out: whoever did was ended, or has lost it");
	if (next)
		out(cli, "  next: %s", next);
}

void render_runs(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *runs = json_object_get(answer, "runs"), *run;
	size_t count = json_array_size(runs), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 6 + 1);
	static const char *const header[] = { "run", "environment", "status", "requested", "took", "reason" };

	(void)err;
	if (!count) {
		out(cli, "There has been no run yet.");
		return;
	}
	json_array_foreach(runs, index, run) {
		const char **row = cells + index * 6;

		row[0] = get(run, "id");
		row[1] = get(run, "environment");
		row[2] = abandoned(run) ? mem_printf(cli->ctx, "%s, by nobody", get(run, "status")) : get(run, "status");
		row[3] = get(run, "requestedAt");
		row[4] = json_object_get(run, "durationMs") ? text_format_duration(cli->ctx, json_int(run, "durationMs", 0)) : "";
		row[5] = get(run, "reason");
	}
	out_table(cli, header, cells, 6, count);
	json_array_foreach(runs, index, run)
		if (abandoned(run))
			out(cli, "%s is carried out by nobody: `unship resume %s` goes on with it, `unship cancel %s` takes it back",
				get(run, "id"), get(run, "id"), get(run, "id"));
}

void render_history(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *summary = json_object_get(answer, "summary");

	render_runs(cli, answer, err);
	if (json_int(summary, "runs", 0))
		out(cli, "\n%s: %lld completed, %lld restored, %lld failed%s",
			text_count(cli->ctx, (uint64_t)json_int(summary, "runs", 0), "run"), (long long)json_int(summary, "completed", 0),
			(long long)json_int(summary, "restored", 0), (long long)json_int(summary, "failed", 0),
			json_object_get(summary, "medianMs") ? mem_printf(cli->ctx, "; median %s, longest %s",
								       text_format_duration(cli->ctx, json_int(summary, "medianMs", 0)),
								       text_format_duration(cli->ctx, json_int(summary, "longestMs", 0)))
							     : "");
}
