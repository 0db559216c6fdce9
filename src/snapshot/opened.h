/* What the store keeps in open/{id}/ besides the content: files whose names begin with a dot. Nothing of it is flushed: what was there before the machine was started anew is not believed. */
#ifndef SNAPSHOT_OPENED_H
#define SNAPSHOT_OPENED_H

#include "snapshot/store.h"

#define OPENED_METADATA ".metadata" /* metadata.json to be */
#define OPENED_SOURCES  ".sources"  /* {as: from} */
#define OPENED_STATE    ".opened"   /* {boot, paths: {path: whether it is there in clear, with all that is below it}} */

bool opened_has(const char *folder, const char *name);
must_check int opened_write(const char *folder, const char *name, const char *text, struct err *err);
/* An object; {} when the file is not there. */
must_check int opened_read(const void *ctx, const char *folder, const char *name, json_t **ret, struct err *err);
/* After a snapshot was taken: all is there but what was read from elsewhere. */
must_check int opened_note_taken(const char *folder, json_t *sources, struct err *err);

#endif
