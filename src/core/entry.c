/* The form of entries: what is hashed and what the API shows are the same members, so that an exported journal can be verified by anybody
 * with a SHA-256 at hand. Pure. */
#include "core/entry.h"

#include "base/clock.h"
#include "data/hash.h"
#include "data/json.h"

/* All members but the hash. New reference. */
static json_t *entry_content(const struct entry *entry)
{
	_cleanup_talloc_ char *at = clock_format(NULL, entry->wall_ms);
	json_t *object = json_object();

	json_put_int(object, "seq", entry->seq);
	json_put_str(object, "id", entry->id);
	json_put_str(object, "at", at);
	json_put_str(object, "kind", entry->kind);
	json_put_str(object, "environment", entry->environment);
	json_put_str(object, "run", entry->run);
	json_put_str(object, "actor", entry->actor);
	json_put(object, "data", entry->data);
	json_put_str(object, "previous", entry->previous);
	return object;
}

char *entry_canonical(const void *ctx, const struct entry *entry)
{
	json_t *content = entry_content(entry);
	char *text = json_canonical(ctx, content);

	json_decref(content);
	return text;
}

void entry_seal(const void *ctx, struct entry *entry)
{
	_cleanup_talloc_ char *text = entry_canonical(NULL, entry);
	char hash[HASH_HEX_SIZE];

	hash_sha256_hex(text, strlen(text), hash);
	entry->hash = mem_strdup(ctx, hash);
}

json_t *entry_json(const struct entry *entry)
{
	json_t *object = entry_content(entry);

	json_put_str(object, "hash", entry->hash);
	return object;
}

int entry_from_json(const void *ctx, json_t *object, struct entry *ret, struct err *err)
{
	json_t *data = json_object_get(object, "data");
	const char *at = json_str(object, "at", NULL), *kind = json_str(object, "kind", NULL);
	int64_t wall_ms;
	int r;

	if (json_int(object, "seq", 0) < 1 || !at || !kind || !json_is_object(data))
		return err_set(err, ERR_INVALID, "this is no entry of a journal: seq, at, kind or data is missing");
	r = clock_parse(at, &wall_ms, err);
	if (r < 0)
		return err_in(err, "at");
	*ret = (struct entry){
		.seq = json_int(object, "seq", 0),
		.id = mem_strdup(ctx, json_str(object, "id", NULL)),
		.wall_ms = wall_ms,
		.kind = mem_strdup(ctx, kind),
		.environment = mem_strdup(ctx, json_str(object, "environment", NULL)),
		.run = mem_strdup(ctx, json_str(object, "run", NULL)),
		.actor = mem_strdup(ctx, json_str(object, "actor", NULL)),
		.data = json_keep(ctx, json_incref(data)),
		.previous = mem_strdup(ctx, json_str(object, "previous", NULL)),
		.hash = mem_strdup(ctx, json_str(object, "hash", NULL)),
	};
	return 0;
}
