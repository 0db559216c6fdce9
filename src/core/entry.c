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
