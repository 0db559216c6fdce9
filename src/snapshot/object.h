/* One object: a file or a segment of one, named by its content. Unsealed it is the bytes themselves. Sealed:
 *
 *     offset  size
 *          0     8  "unshobj1"
 *          8    16  id of the data key
 *         24     1  encoding: 0 as it is, 1 zstd
 *         25     1  kind: 1 content, 2 manifest
 *         26     6  0
 *         32     8  size in clear, the lowest byte first
 *         40    24  header of a libsodium secretstream (XChaCha20-Poly1305)
 *         64        its messages of 128 KiB and 17 bytes each, the last one shorter or as long, with the final tag
 *
 * The first 40 bytes and the name (for a manifest: what it belongs to) are additional data of every message, so an object cannot stand under another name or with another header.
 * Threads: any, each with its own struct object_work. */
#ifndef SNAPSHOT_OBJECT_H
#define SNAPSHOT_OBJECT_H

#include "snapshot/pack.h"
#include "snapshot/seal.h"

#define OBJECT_SEGMENT     ((size_t)4 << 20) /* files that are larger are cut, when sealed */
#define OBJECT_ID_SIZE     32
#define OBJECT_NAME_SIZE   66 /* "ab/" and 62 digits and 0 */
#define OBJECT_HEADER_SIZE 64

struct object_id {
	uint8_t bytes[OBJECT_ID_SIZE];
};

enum object_kind { OBJECT_CONTENT = 1, OBJECT_MANIFEST = 2 };

struct object_header {
	uint8_t key[SEAL_ID_SIZE];
	bool packed;
	enum object_kind kind;
	uint64_t size;
	uint8_t bytes[OBJECT_HEADER_SIZE]; /* as it stands in the file */
};

/* What one thread needs; memory is touched only as far as it is used. */
struct object_work {
	struct pack *pack;
	uint8_t *plain, *packed; /* OBJECT_SEGMENT each */
	uint8_t *chunk;
};

must_check int object_work_new(const void *ctx, struct object_work **ret, struct err *err);
void object_id_of(const uint8_t names_key[SEAL_KEY_SIZE], const void *bytes, size_t size, struct object_id *ret);
void object_name(const struct object_id *id, char ret[OBJECT_NAME_SIZE]);
/* Writes it sealed into fd; `packed` has room for `size` bytes. *ret_stored: how many were written. */
must_check int object_write(struct object_work *work, const struct seal_key *key, enum object_kind kind, const struct object_id *bind,
	const uint8_t *bytes, size_t size, uint8_t *packed, int fd, int64_t *ret_stored, struct err *err);
/* Pure. ERR_CORRUPT, ERR_NEWER. */
must_check int object_parse_header(const uint8_t *bytes, size_t size, struct object_header *ret, struct err *err);
must_check int object_read_header(int fd, struct object_header *ret, struct err *err);
/* After the header: header.size bytes into `ret`; `packed` has room for as many. ERR_CORRUPT when anything is not as it was written. */
must_check int object_read(struct object_work *work, struct seal *seal, const struct object_header *header, enum object_kind kind,
	const struct object_id *bind, int fd, uint8_t *packed, uint8_t *ret, struct err *err);
/* Reads up to `size` bytes; fewer at the end of the file only. */
must_check int object_read_up_to(int fd, void *ret, size_t size, size_t *ret_size, struct err *err);

#endif
