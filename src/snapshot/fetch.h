/* Content out of the store, compared with its name: what comes out is what was put in, or it is ERR_CORRUPT. */
#ifndef SNAPSHOT_FETCH_H
#define SNAPSHOT_FETCH_H

#include "snapshot/store.h"

/* One segment of a sealed file into work->plain. `content`: the folder of the objects. Any thread. */
must_check int fetch_segment(struct snapshot_store *store, struct object_work *work, int content, const struct object_id *id, size_t size,
	struct err *err);
/* A whole unsealed file into `to` (-1: nowhere, only compared). Any thread. */
must_check int fetch_clear(struct snapshot_store *store, struct object_work *work, int content, const struct object_id *id, uint64_t size,
	int to, struct err *err);

#endif
