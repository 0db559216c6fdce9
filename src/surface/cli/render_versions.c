/* Versions for people: a line each, with everything that is known of it; "-" says that a thing does not exist. What comes from the
 * repository is the text of strangers: out() makes it printable, and here it is kept to one line. */
#include <string.h>

#include "base/text.h"
#include "surface/cli/cli.h"

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

static char *first_line(const void *ctx, const char *text)
{
	return mem_strndup(ctx, text, strcspn(text, "\r\n"));
}

static char *distance_text(struct cli *cli, const json_t *distance)
{
	long long ahead = json_int(distance, "ahead", 0), behind = json_int(distance, "behind", 0);

	if (!json_is_object(distance))
		return mem_strdup(cli->ctx, "-");
	if (!ahead && !behind)
		return mem_strdup(cli->ctx, "here");
	if (!ahead || !behind)
		return ahead ? mem_printf(cli->ctx, "+%lld", ahead) : mem_printf(cli->ctx, "-%lld", behind);
	return mem_printf(cli->ctx, "+%lld -%lld", ahead, behind);
}

/* The subject, and what the tag says when that is something else. */
static char *words(struct cli *cli, const json_t *version)
{
	char *subject = first_line(cli->ctx, get(version, "subject")), *message = first_line(cli->ctx, get(version, "tagMessage"));

	if (!*message || !strcmp(subject, message))
		return *subject ? subject : mem_strdup(cli->ctx, "-");
	return mem_printf(cli->ctx, "%s%s[%s]", subject, *subject ? " " : "", message);
}

static const char *standing(struct cli *cli, const json_t *version)
{
	if (json_flag(version, "present", false))
		return styled(cli, "bold", "now");
	return json_flag(version, "lastStable", false) ? styled(cli, "green", "last stable") : "";
}

/* "2026-11-20 passing (3 times)": the newest deployment of it. */
static char *ran(struct cli *cli, const json_t *deployments)
{
	const json_t *newest = json_array_get(deployments, 0);
	size_t count = json_array_size(deployments);

	if (!count)
		return mem_strdup(cli->ctx, "-");
	return mem_printf(cli->ctx, "%.10s %s%s", get(newest, "recordedAt"), get(newest, "health"),
		count > 1 ? mem_printf(cli->ctx, " (%zu times)", count) : "");
}

static void fill_row(struct cli *cli, const json_t *version, bool environment, const char **row)
{
	const json_t *changed = json_object_get(version, "filesChanged");
	size_t at = 0;

	if (environment) {
		row[at++] = standing(cli, version);
		row[at++] = ran(cli, json_object_get(version, "deployments"));
	}
	row[at++] = get(version, "name");
	row[at++] = !strcmp(get(version, "kind"), "tag") ? mem_printf(cli->ctx, "tag %s", get(version, "versionKind"))
							 : get(version, "kind");
	row[at++] = mem_printf(cli->ctx, "%.12s", get(version, "sha"));
	row[at++] = mem_printf(cli->ctx, "%.10s", get(version, "date"));
	row[at++] = first_line(cli->ctx, get(json_object_get(version, "author"), "name"));
	row[at++] = distance_text(cli, json_object_get(version, "distance"));
	row[at++] = json_is_object(changed) ? mem_printf(cli->ctx, "%lld", (long long)json_int(changed, "count", 0)) : "-";
	row[at] = words(cli, version);
}

static char *counted(struct cli *cli, char *text, const char *what, const json_t *difference)
{
	size_t appeared = json_array_size(json_object_get(difference, "appeared")),
	       vanished = json_array_size(json_object_get(difference, "vanished"));
	size_t changed = json_array_size(json_object_get(difference, "changed"));

	(void)cli;
	if (appeared + vanished + changed == 0)
		return text;
	return mem_appendf(text, "%s%s +%zu -%zu ~%zu", *text ? ", " : "", what, appeared, vanished, changed);
}

/* What a commit holds otherwise than the present one: how many files of each kind; the whole is in --json. */
static void print_differences(struct cli *cli, json_t *list)
{
	static const struct {
		const char *member, *words;
	} kinds[] = { { "manifests", "manifests" }, { "lockFiles", "lock files" }, { "migrations", "migrations" },
		{ "config", "configuration" }, { "contracts", "contracts" } };
	json_t *version;
	size_t index;

	out(cli, "\n%s", styled(cli, "bold", "Held by the commit, against the present one (+ appeared, - vanished, ~ changed)"));
	json_array_foreach(list, index, version) {
		json_t *difference = json_object_get(version, "metadataDifference");
		char *text = mem_strdup(cli->ctx, "");

		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			text = counted(cli, text, kinds[i].words, json_object_get(difference, kinds[i].member));
		out(cli, "  %-20s %s", get(version, "name"), *text ? text : json_is_object(difference) ? "the same" : "-");
	}
}

static void print_rest(struct cli *cli, json_t *answer)
{
	json_t *item;
	size_t index;

	json_array_foreach(json_object_get(answer, "unmatched"), index, item)
		say(cli, "deployment %s (%s) belongs to none of the versions listed", get(item, "id"), get(item, "version"));
	json_array_foreach(json_object_get(answer, "skipped"), index, item)
		say(cli, "'%s' is left out: %s", get(item, "name"), get(item, "reason"));
	if (json_flag(answer, "shallow", false))
		say(cli,
			"this is a shallow clone: distances count only the commits that are here; "
			"`git fetch --unshallow` brings the others");
}

void render_versions(struct cli *cli, json_t *answer, const struct err *err)
{
	static const char *const header[] = { "", "deployed", "version", "kind", "commit", "date", "author", "distance", "files",
		"subject" };
	json_t *list = json_object_get(answer, "versions"), *version;
	bool environment = json_object_get(answer, "environment") != NULL;
	size_t count = json_array_size(list), index, columns = environment ? ARRAY_SIZE(header) : ARRAY_SIZE(header) - 2;
	const char **cells = mem_array(cli->ctx, const char *, count *columns + 1);

	(void)err;
	if (!count) {
		out(cli, "%s has no versions yet%s", get(answer, "repository"),
			json_is_null(json_object_get(answer, "head")) ? ": it has no commit" : "");
		print_rest(cli, answer);
		return;
	}
	json_array_foreach(list, index, version)
		fill_row(cli, version, environment, cells + index * columns);
	out_table(cli, environment ? header : header + 2, cells, columns, count);
	if (json_object_get(json_array_get(list, 0), "metadata"))
		print_differences(cli, list);
	print_rest(cli, answer);
}
