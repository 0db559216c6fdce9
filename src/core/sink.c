/* `server.sinks` of the project file (sink.h). Pure; any thread. */
#include "core/sink.h"

#include <string.h>

#include "base/text.h"
#include "data/fields.h"
#include "data/hash.h"
#include "data/json.h"

struct sink_file {
	const char *name, *url, *format, *source;
	json_t *token;
	const char **environments, **kinds;
};

/* clang-format off */
static const struct field sink_fields[] = {
	FIELD_STR(struct sink_file, url, REQUIRED, "where events are posted to"),
	FIELD_CHOICE(struct sink_file, format, DEFAULT("cloudevents"), "cloudevents|cdevents", "form of the events"),
	FIELD_NAME(struct sink_file, name, OPTIONAL, "under it unship remembers what was sent; made from url and format when missing"),
	FIELD_SECRET(struct sink_file, token, OPTIONAL, "sent as Authorization: Bearer"),
	FIELD_LIST(struct sink_file, environments, OPTIONAL, "only these environments"),
	FIELD_LIST(struct sink_file, kinds, OPTIONAL, "only these kinds of entries: run.ended, flag.*"),
	FIELD_STR(struct sink_file, source, OPTIONAL, "who speaks, as a URI; /unship/PROJECT when missing"),
	FIELD_END
};
/* clang-format on */

static const char *const format_names[] = {
	[SINK_CLOUDEVENTS] = "cloudevents",
	[SINK_CDEVENTS] = "cdevents",
	[SINK_OTLP] = "otlp",
};

const char *sink_format_name(enum sink_format format)
{
	return format_names[format];
}

static bool has_blank(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return true;
	return false;
}

static const char *url_trouble(const char *url)
{
	const char *host = text_starts_with(url, "https://") ? url + 8 : text_starts_with(url, "http://") ? url + 7 : NULL;

	if (!host)
		return "a sink's URL begins with https:// or http://";
	if (!*host || strchr("/?#", *host))
		return "the URL names no host";
	if (memchr(host, '@', strcspn(host, "/?#")))
		return "no user or password stands in the URL: use `token`";
	return has_blank(url) ? "the URL contains a blank or a control character" : NULL;
}

static const char *made_name(const void *ctx, const struct sink_file *file)
{
	_cleanup_talloc_ char *text = mem_printf(NULL, "%s\n%s", file->format, file->url);
	char sum[HASH_HEX_SIZE];

	hash_sha256_hex(text, strlen(text), sum);
	return mem_printf(ctx, "%s-%.12s", file->format, sum);
}

static void check_environments(const struct sink_config *sink, const char *const *environments, const char *path, void *tmp,
	struct problems *problems)
{
	for (size_t i = 0; sink->environments && sink->environments[i]; i++) {
		const char *const *at = environments;

		while (*at && strcmp(*at, sink->environments[i]) != 0)
			at++;
		if (!*at)
			problems_add(problems, ERR_NOT_FOUND, doc_path_index(tmp, doc_path(tmp, path, "environments"), i),
				"there is no environment '%s'", sink->environments[i]);
	}
}

static void read_sink(const void *ctx, void *tmp, struct sink_config *sink, json_t *object, const char *path,
	const char *const *environments, struct problems *problems)
{
	struct sink_file file;
	const char *trouble;

	fields_parse(ctx, sink_fields, object, path, NULL, false, &file, problems);
	*sink = (struct sink_config){ .url = file.url ? file.url : "",
		.format = file.format && strcmp(file.format, "cdevents") == 0 ? SINK_CDEVENTS : SINK_CLOUDEVENTS,
		.token = file.token,
		.environments = file.environments,
		.kinds = file.kinds,
		.source = file.source };
	sink->name = file.name ? file.name : file.url && file.format ? made_name(ctx, &file) : "";
	trouble = file.url ? url_trouble(file.url) : NULL;
	if (trouble)
		problems_add(problems, ERR_INVALID, doc_path(tmp, path, "url"), "%s", trouble);
	if (file.source && (!*file.source || has_blank(file.source)))
		problems_add(problems, ERR_INVALID, doc_path(tmp, path, "source"), "a source is a URI: not empty, no blanks");
	check_environments(sink, environments, path, tmp, problems);
}

struct sink_config *sinks_read(const void *ctx, json_t *sinks, const char *const *environments, struct problems *problems,
	size_t *ret_count)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct sink_config *made = mem_array(ctx, struct sink_config, json_array_size(sinks) + 1);
	json_t *object;
	size_t index;

	*ret_count = 0;
	if (sinks && !json_is_array(sinks))
		problems_add(problems, ERR_INVALID, "server.sinks",
			"expected a list of sinks such as {url: https://events.example/, format: cloudevents}");
	json_array_foreach(sinks, index, object) {
		char *path = doc_path_index(tmp, "server.sinks", index);

		if (index == SINKS_MAX) {
			problems_add(problems, ERR_TOO_LARGE, path, "at most %d sinks", SINKS_MAX);
			break;
		}
		read_sink(ctx, tmp, &made[index], object, path, environments, problems);
		for (size_t i = 0; i < index; i++)
			if (*made[index].name && strcmp(made[i].name, made[index].name) == 0)
				problems_add(problems, ERR_INVALID, path, "there is a sink '%s' already: give each a name of its own",
					made[index].name);
		(*ret_count)++;
	}
	return made;
}

static bool kind_fits(const char *pattern, const char *kind)
{
	size_t length = strlen(pattern);

	return text_ends_with(pattern, ".*") ? strncmp(pattern, kind, length - 1) == 0 : strcmp(pattern, kind) == 0;
}

bool sink_wants(const struct sink_config *sink, const struct entry *entry)
{
	bool kind = !sink->kinds, environment = !sink->environments;

	for (size_t i = 0; sink->kinds && sink->kinds[i] && !kind; i++)
		kind = kind_fits(sink->kinds[i], entry->kind);
	for (size_t i = 0; sink->environments && sink->environments[i] && !environment; i++)
		environment = entry->environment && strcmp(sink->environments[i], entry->environment) == 0;
	return kind && environment;
}
