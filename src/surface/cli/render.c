/* Answers for people, one function per kind of answer (runs and plans stand in render_run.c). */
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "surface/cli/cli.h"

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

void print_warnings(struct cli *cli, json_t *answer)
{
	json_t *warning;
	size_t index;

	json_array_foreach(json_object_get(answer, "warnings"), index, warning)
		say(cli, "%s %s", mark_text(cli, MARK_WARN), json_string_value(warning));
	cli->warned = true;
}

/* All of them with their places, to stderr, where errors belong; what is said of the whole then only counts them. */
void print_problems(struct cli *cli, json_t *answer)
{
	uint64_t errors = 0;
	json_t *problem;
	size_t index;

	json_array_foreach(json_object_get(answer, "problems"), index, problem) {
		bool warning = !strcmp(get(problem, "severity"), "warning");
		char *line = mem_printf(cli->ctx, "%s:%lld:%lld: %s%s%s%s", get(answer, "file"), (long long)json_int(problem, "line", 0),
			(long long)json_int(problem, "column", 0), warning ? "warning: " : "", get(problem, "path"),
			*get(problem, "path") ? ": " : "", get(problem, "message"));

		line = secret_redact(cli->ctx, line);
		fprintf(stderr, "%s\n", text_printable(cli->ctx, line, strlen(line), false));
		errors += !warning;
	}
	if (errors)
		cli->summary = mem_printf(cli->ctx, "%s has %s", get(answer, "file"), text_count(cli->ctx, errors, "problem"));
}

/* With several mistakes in one input all are shown; the error itself then tells the first, and how many others there are. */
void print_errors(struct cli *cli, json_t *errors)
{
	json_t *error;
	size_t index;

	if (json_array_size(errors) < 2)
		return;
	json_array_foreach(errors, index, error) {
		char *line = mem_printf(cli->ctx, "%s: %s", get(error, "pointer"), get(error, "detail"));

		line = secret_redact(cli->ctx, line);
		fprintf(stderr, "%s %s\n", mark_text(cli, MARK_FAIL), text_printable(cli->ctx, line, strlen(line), false));
	}
}

void render_json(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	out(cli, "%s", json_pretty(cli->ctx, answer));
}

void render_deployments(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "deployments"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 7 + 1);
	static const char *const header[] = { "", "version", "deployment", "recorded", "health", "status", "" };

	(void)err;
	if (!count) {
		out(cli, "Nothing is recorded for '%s' yet: `unship record %s --version V` after each deployment.",
			get(answer, "environment"), get(answer, "environment"));
		return;
	}
	json_array_foreach(list, index, item) {
		const char **row = cells + index * 7;
		bool present = json_flag(item, "present", false), stable = json_flag(item, "lastStable", false);

		row[0] = present ? styled(cli, "bold", "now ") : "    ";
		row[1] = get(item, "version");
		row[2] = get(item, "id");
		row[3] = get(item, "recordedAt");
		row[4] = mem_printf(cli->ctx, "%s %s",
			mark_text(cli,
				!strcmp(get(item, "health"), "passing")           ? MARK_OK
					: !strcmp(get(item, "health"), "failing") ? MARK_FAIL
										  : MARK_NONE),
			get(item, "health"));
		row[5] = get(item, "status");
		row[6] = *get(item, "quarantine") ? mem_printf(cli->ctx, "quarantined: %s", get(item, "quarantine"))
			: stable                  ? styled(cli, "green", "last stable")
						  : "";
	}
	out_table(cli, header, cells, 7, count);
}

void render_deployment(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *component;
	const char *name;

	(void)err;
	out(cli, "%s %s  %s  %s  health %s  %s%s", styled(cli, "bold", get(answer, "version")), get(answer, "id"),
		get(answer, "environment"), get(answer, "recordedAt"), get(answer, "health"), get(answer, "status"),
		*get(answer, "quarantine") ? mem_printf(cli->ctx, "  quarantined: %s", get(answer, "quarantine")) : "");
	json_object_foreach(json_object_get(answer, "components"), name, component)
		out(cli, "  %-16s %s%s%s", name, get(component, "version"), *get(component, "state") ? "  " : "", get(component, "state"));
	if (*get(answer, "quarantine"))
		out(cli, "  no rollback chooses it; `unship deployments release %s --reason '...'` lifts the quarantine",
			get(answer, "id"));
	print_warnings(cli, answer);
}

void render_health(struct cli *cli, json_t *answer, const struct err *err)
{
	size_t index;
	json_t *probe;

	(void)err;
	json_array_foreach(json_object_get(answer, "probes"), index, probe) {
		const char *status = get(probe, "status");

		out(cli, "  %s %-20s %-8s %s  %s",
			mark_text(cli,
				!strcmp(status, "pass")           ? MARK_OK
					: !strcmp(status, "warn") ? MARK_WARN
								  : MARK_FAIL),
			get(probe, "name"), get(probe, "type"), get(probe, "message"),
			styled(cli, "dim", text_format_duration(cli->ctx, json_int(probe, "durationMs", 0))));
	}
	out(cli, "%s is %s%s", get(answer, "environment"), styled(cli, "bold", get(answer, "health")),
		json_array_size(json_object_get(answer, "probes")) ? ""
								   : ": it has no probes; add some under `probes:` in the project file");
}

void render_flags(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "flags"), *flag;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 5 + 1);
	static const char *const header[] = { "flag", "state", "group", "changed", "by" };

	(void)err;
	if (!count) {
		out(cli, "'%s' has no flags yet: `unship flags %s set KEY on`.", get(answer, "environment"), get(answer, "environment"));
		return;
	}
	json_array_foreach(list, index, flag) {
		const char **row = cells + index * 5;

		row[0] = get(flag, "key");
		row[1] = get(flag, "state");
		row[2] = get(flag, "group");
		row[3] = get(flag, "changedAt");
		row[4] = get(flag, "changedBy");
	}
	out_table(cli, header, cells, 5, count);
}

void render_flag(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	if (json_object_get(answer, "value"))
		out(cli, "%s %s is %s (variant %s, %s)", mark_text(cli, MARK_OK), get(answer, "key"),
			styled(cli, "bold", json_canonical(cli->ctx, json_object_get(answer, "value"))), get(answer, "variant"),
			get(answer, "reason"));
	else if (json_object_get(answer, "removed"))
		out(cli, "%s flag %s removed", mark_text(cli, MARK_OK), get(answer, "removed"));
	else if (json_object_get(answer, "key"))
		out(cli, "%s %s is %s", mark_text(cli, MARK_OK), get(answer, "key"), styled(cli, "bold", get(answer, "state")));
	else if (json_object_get(answer, "disabled"))
		out(cli, "%s %s of group '%s' set to false in %s", mark_text(cli, MARK_OK),
			text_count(cli->ctx, (uint64_t)json_int(answer, "disabled", 0), "flag"), get(answer, "group"),
			text_format_duration(cli->ctx, json_int(answer, "durationMs", 0)));
	else
		out(cli, "%s restored", mark_text(cli, MARK_OK));
}

void render_flag_history(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "changes"), *change;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 6 + 1);
	static const char *const header[] = { "change", "flag", "was", "when", "by", "reason" };

	(void)err;
	json_array_foreach(list, index, change) {
		const char **row = cells + index * 6;

		row[0] = get(change, "id");
		row[1] = get(change, "feature_name");
		row[2] = mem_printf(cli->ctx, "%s -> %s", get(change, "previous_state"), get(change, "new_state"));
		row[3] = get(change, "rolled_back_at");
		row[4] = get(change, "rolled_back_by");
		row[5] = get(change, "reason");
	}
	out_table(cli, header, cells, 6, count);
}

void render_snapshots(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "snapshots"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 6 + 1);
	static const char *const header[] = { "snapshot", "environment", "taken", "files", "size", "of" };
	static const char *const kinds[][2] = { { "run", "before the run" }, { "advance", "in advance" },
		{ "ledger", "what a restore took away" } };

	(void)err;
	if (!count) {
		out(cli, "There is no snapshot yet: one is taken before every run.");
		return;
	}
	json_array_foreach(list, index, item) {
		const char **row = cells + index * 6;

		row[0] = get(item, "id");
		row[1] = get(item, "environment");
		row[2] = get(item, "takenAt");
		row[3] = mem_printf(cli->ctx, "%lld", (long long)json_int(item, "files", 0));
		row[4] = text_format_size(cli->ctx, (uint64_t)json_int(item, "bytes", 0));
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (!strcmp(kinds[i][0], get(item, "kind")))
				row[5] = kinds[i][1];
	}
	out_table(cli, header, cells, 6, count);
	if (!json_flag(answer, "sealed", false))
		out(cli, "%s These snapshots are not encrypted: there is no key in snapshots.seal of the project file.",
			mark_text(cli, MARK_WARN));
}

void render_snapshot(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *files = json_object_get(answer, "content"), *file, *problem;
	size_t index;

	(void)err;
	out(cli, "%s  %s", styled(cli, "bold", get(answer, "id")), json_str(answer, "directory", json_str(answer, "environment", "")));
	json_array_foreach(files, index, file)
		if (strcmp(get(file, "type"), "folder") != 0)
			out(cli, "  %10s  %s", text_format_size(cli->ctx, (uint64_t)json_int(file, "size", 0)), get(file, "path"));
	json_array_foreach(json_object_get(answer, "problems"), index, problem)
		out(cli, "  %s %s", mark_text(cli, MARK_FAIL),
			json_is_string(problem) ? json_string_value(problem) : json_pretty(cli->ctx, problem));
	if (json_object_get(answer, "intact"))
		out(cli, "%s %s", mark_text(cli, json_flag(answer, "intact", false) ? MARK_OK : MARK_FAIL),
			json_flag(answer, "intact", false) ? "every file is there with its sum" : "damaged: it is not restored from");
}

void render_pruned(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "pruned"), *item;
	size_t index;

	(void)err;
	json_array_foreach(list, index, item)
		out(cli, "  %s", json_string_value(item));
	json_array_foreach(json_object_get(answer, "deployments"), index, item)
		out(cli, "  what was kept with %s", json_string_value(item));
	out(cli, "%s %s%s", text_count(cli->ctx, json_array_size(list), "snapshot"),
		json_flag(answer, "dryRun", false) ? "would be removed" : "removed",
		json_int(answer, "bytes", 0)
			? mem_printf(cli->ctx, ", %s free", text_format_size(cli->ctx, (uint64_t)json_int(answer, "bytes", 0)))
			: "");
}

void render_snapshot_taken(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	out(cli, "%s %s  %s, %s; %s of it new", mark_text(cli, MARK_OK), styled(cli, "bold", get(answer, "id")),
		text_count(cli->ctx, (size_t)json_int(answer, "files", 0), "file"),
		text_format_size(cli->ctx, (uint64_t)json_int(answer, "bytes", 0)),
		text_format_size(cli->ctx, (uint64_t)json_int(answer, "newBytes", 0)));
	if (!json_flag(answer, "sealed", false))
		out(cli, "%s It is not encrypted: there is no key in snapshots.seal of the project file.", mark_text(cli, MARK_WARN));
}

void render_copied(struct cli *cli, json_t *answer, const struct err *err)
{
	int64_t unsealed = json_int(answer, "unsealed", 0);

	(void)err;
	out(cli, "%s %s, %s; %lld were there%s", mark_text(cli, MARK_OK),
		text_count(cli->ctx, (size_t)json_int(answer, "files", 0), "file"),
		text_format_size(cli->ctx, (uint64_t)json_int(answer, "bytes", 0)), (long long)json_int(answer, "there", 0),
		json_flag(answer, "dryRun", false) ? " (nothing was sent)" : "");
	if (unsealed)
		out(cli, "%s %s not sealed, and not copied", mark_text(cli, MARK_WARN), text_count(cli->ctx, (size_t)unsealed, "snapshot"));
}

void render_rotated(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	out(cli, "%s %s wrapped anew by key %lld; former keys are not needed any more", mark_text(cli, MARK_OK),
		text_count(cli->ctx, (size_t)json_int(answer, "keys", 0), "data key"), (long long)json_int(answer, "version", 0));
}

void render_audit(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	out(cli, "%s the chain of %s is intact; head %s", mark_text(cli, MARK_OK),
		json_int(answer, "entries", 0) == 1 ? "1 entry"
						    : mem_printf(cli->ctx, "%lld entries", (long long)json_int(answer, "entries", 0)),
		get(answer, "head"));
}

void render_alerts(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "alerts"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 6 + 1);
	static const char *const header[] = { "alert", "status", "environment", "since", "until", "summary" };

	(void)err;
	if (!count) {
		out(cli, "Monitoring has said nothing: no hook has brought an alert.");
		return;
	}
	json_array_foreach(list, index, item) {
		json_t *labels = json_object_get(item, "labels"), *annotations = json_object_get(item, "annotations");
		bool firing = !strcmp(json_str(item, "status", ""), "firing");
		const char **row = cells + index * 6;

		row[0] = json_str(labels, "alertname", json_str(item, "fingerprint", ""));
		row[1] = firing ? styled(cli, "red", "firing") : "resolved";
		row[2] = json_str(item, "environment", "-");
		row[3] = json_str(item, "startsAt", "");
		row[4] = json_str(item, "endsAt", "-");
		row[5] = json_str(annotations, "summary", "");
	}
	out_table(cli, header, cells, 6, count);
}

void render_entries(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "entries"), *entry;
	size_t index;

	(void)err;
	if (!list)
		list = json_object_get(answer, "notifications");
	json_array_foreach(list, index, entry) {
		char *data = json_canonical(cli->ctx, json_object_get(entry, "data"));

		out(cli, "%6lld  %s  %-24s %-18s %.*s%s", (long long)json_int(entry, "seq", 0),
			json_str(entry, "at", get(entry, "timestamp")), get(entry, "kind"), get(entry, "actor"), 160, data,
			strlen(data) > 160 ? "…" : "");
	}
}

void render_config(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *item;
	size_t index;

	(void)err;
	print_problems(cli, answer);
	if (!json_flag(answer, "valid", false))
		return;
	out(cli, "%s %s: project '%s'", mark_text(cli, MARK_OK), get(answer, "file"), get(answer, "project"));
	json_array_foreach(json_object_get(answer, "environments"), index, item)
		out(cli, "  %-16s %s, %s", get(item, "name"), text_count(cli->ctx, (uint64_t)json_int(item, "components", 0), "component"),
			text_count(cli->ctx, (uint64_t)json_int(item, "probes", 0), "probe"));
}

void render_catalogue(struct cli *cli, json_t *answer, const struct err *err)
{
	size_t index, at;
	json_t *item, *field;

	(void)err;
	json_array_foreach(answer, index, item) {
		out(cli, "%-14s %s", styled(cli, "bold", get(item, "name")), get(item, "summary"));
		if (json_array_size(answer) != 1)
			continue;
		json_array_foreach(json_object_get(item, "fields"), at, field)
			out(cli, "  %-16s %-18s %s%s%s", get(field, "name"), get(field, "type"), get(field, "help"),
				json_flag(field, "required", false) ? " (required)" : "",
				json_scalar_text(cli->ctx, json_object_get(field, "default")) &&
						*json_scalar_text(cli->ctx, json_object_get(field, "default"))
					? mem_printf(cli->ctx, " (default %s)",
						  json_scalar_text(cli->ctx, json_object_get(field, "default")))
					: "");
	}
}
