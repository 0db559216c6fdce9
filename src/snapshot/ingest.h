/* Taking folders into the store. */
#ifndef SNAPSHOT_INGEST_H
#define SNAPSHOT_INGEST_H

#include "snapshot/store.h"

struct ingest;

/* `key`: the data key of the snapshot; NULL: unsealed. */
must_check int ingest_new(const void *ctx, struct snapshot_store *store, const struct seal_key *key, struct ingest **ret, struct err *err);
/* Lists what is in `from`, a folder or a file, as `as` ("": at the top, without what begins with a dot there). Nothing is read yet. */
must_check int ingest_add(struct ingest *ingest, const char *from, const char *as, struct err *err);
/* Stores what is not known, and settles it. */
must_check int ingest_store(struct ingest *ingest, struct err *err);
/* What was stored, sorted; it belongs to the ingest and holds until the next call of ingest_store. Project and snapshot are the caller's to set. */
struct manifest *ingest_manifest(struct ingest *ingest);
/* The objects of this item are not there, though the cache knew them: the next ingest_store reads the file. */
void ingest_forget(struct ingest *ingest, size_t item);
void ingest_summarise(struct ingest *ingest, struct snapshot_summary *ret);
/* For the next time; what fails here costs time alone. */
must_check int ingest_remember(struct ingest *ingest, struct err *err);

#endif
