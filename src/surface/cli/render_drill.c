/* Rehearsals for people: how it went, how long it took, what it would have cost, what did not take part. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "surface/cli/cli.h"

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

static char *took(struct cli *cli, const json_t *object, const char *key)
{
	return text_format_duration(cli->ctx, json_int(object, key, 0));
}

static const char *version_of(json_t *drill, const char *which)
{
	return json_str(json_object_get(drill, which), "version", "?");
}

static void print_measured(struct cli *cli, const char *title, json_t *run)
{
	const char *limit = "";
	json_t *step;
	size_t index;

	if (!run)
		return;
	if (json_object_get(run, "objectiveMs"))
		limit = mem_printf(cli->ctx, ", objective %s: %s", took(cli, run, "objectiveMs"),
			json_flag(run, "met", false) ? "met" : "MISSED");
	out(cli, "%s %s after %s%s", styled(cli, "bold", title), get(run, "status"), took(cli, run, "durationMs"), limit);
	json_array_foreach(json_object_get(run, "steps"), index, step) {
		const char *message = get(step, "message"), *status = get(step, "status");
		bool well = !strcmp(status, "completed");

		out(cli, "  %s %-26s %8s  %s%s%s",
			mark_text(cli,
				well               ? MARK_OK
					: *message ? MARK_FAIL
						   : MARK_NONE),
			get(step, "id"), json_object_get(step, "durationMs") ? took(cli, step, "durationMs") : "", well ? "" : status,
			*message ? ": " : "", message);
	}
}

static void print_data(struct cli *cli, json_t *data)
{
	const char *step;
	json_t *lost;

	if (!data)
		return;
	if (json_object_get(data, "ageMs"))
		out(cli, "%s the newest copy of the data is %s old", styled(cli, "bold", "Data"), took(cli, data, "ageMs"));
	else
		out(cli, "%s %s no copy of the data is kept", styled(cli, "bold", "Data"), mark_text(cli, MARK_WARN));
	if (*get(data, "backTo"))
		out(cli, "  taken back to %s", get(data, "backTo"));
	json_object_foreach(json_object_get(data, "lost"), step, lost)
		out(cli, "  %s: %lld rows added, %lld changed and %lld removed since then are lost", step,
			(long long)json_int(lost, "added", 0), (long long)json_int(lost, "changed", 0),
			(long long)json_int(lost, "removed", 0));
}

void render_drill(struct cli *cli, json_t *answer, const struct err *err)
{
	bool success = json_flag(answer, "success", false);
	json_t *item;
	size_t index;

	(void)err;
	out(cli, "%s %s  %s -> %s  %s, in %s", mark_text(cli, success ? MARK_OK : MARK_FAIL), styled(cli, "bold", get(answer, "id")),
		version_of(answer, "from"), version_of(answer, "to"),
		!success                                                      ? "it does not work"
			: json_array_size(json_object_get(answer, "leftOut")) ? "what was rehearsed works, there and back"
									      : "it works, there and back",
		took(cli, answer, "durationMs"));
	print_measured(cli, "Rollback", json_object_get(answer, "rollback"));
	print_measured(cli, "Undo", json_object_get(answer, "undo"));
	print_data(cli, json_object_get(answer, "data"));
	json_array_foreach(json_object_get(answer, "leftOut"), index, item)
		out(cli, "%s not rehearsed: %s: %s", mark_text(cli, MARK_WARN), json_str(item, "component", get(item, "probe")),
			get(item, "why"));
	if (success && !json_flag(answer, "probed", false))
		out(cli, "%s no probe looked at it", mark_text(cli, MARK_WARN));
	if (*get(answer, "leftBehind"))
		out(cli, "%s of the copy something is left: %s; `unship drill clean` tries again", mark_text(cli, MARK_FAIL),
			get(answer, "leftBehind"));
}

/* For a cell of a table; `--json` has the whole. */
static const char *shortened(struct cli *cli, const char *text)
{
	enum { MAX_BYTES = 100 };
	size_t size = MAX_BYTES;

	if (strlen(text) <= MAX_BYTES)
		return text;
	while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) /* no half letters */
		size--;
	return mem_printf(cli->ctx, "%.*s ...", (int)size, text);
}

void render_drills(struct cli *cli, json_t *answer, const struct err *err)
{
	static const char *const header[] = { "", "rehearsal", "environment", "when", "from", "to", "recovery", "why not" };
	enum { COLUMNS = ARRAY_SIZE(header) };
	json_t *list = json_object_get(answer, "drills"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count *COLUMNS + 1);

	(void)err;
	if (!count) {
		out(cli, "No rollback was rehearsed yet: `unship drill ENV` does.");
		return;
	}
	json_array_foreach(list, index, item) {
		const char **row = cells + index * COLUMNS;
		json_t *rollback = json_object_get(item, "rollback");

		row[0] = mark_text(cli, json_flag(item, "success", false) ? MARK_OK : MARK_FAIL);
		row[1] = get(item, "id");
		row[2] = get(item, "environment");
		row[3] = clock_format_age(cli->ctx, clock_wall_ms() - json_int(item, "ageMs", 0), clock_wall_ms());
		row[4] = version_of(item, "from");
		row[5] = version_of(item, "to");
		row[6] = rollback ? took(cli, rollback, "durationMs") : "";
		row[7] = shortened(cli, get(item, "message"));
	}
	out_table(cli, header, cells, COLUMNS, count);
}

void render_drills_cleaned(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "cleaned"), *item;
	size_t index;

	(void)err;
	json_array_foreach(list, index, item)
		out(cli, "  %s", json_string_value(item));
	out(cli, "%s removed", text_count(cli->ctx, json_array_size(list), "interrupted rehearsal"));
}
