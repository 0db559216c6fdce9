/* Objects (object.h). Chunks of 128 KiB: what is sealed is still in the second-level cache, and small files take one write. Whoever cuts a stream off takes its final tag away; whoever appends to it leaves
 * bytes behind the tag; both are refused. Memory is bounded by the size that the reader expects, never by what the file says. */
#include "snapshot/object.h"

#include <errno.h>
#include <sodium.h>

#include "base/fs.h"

#define MAGIC        "unshobj"
#define FORMAT       '1'
#define CHUNK        ((size_t)128 << 10)
#define OVERHEAD     crypto_secretstream_xchacha20poly1305_ABYTES
#define BOUND_HEADER 40
#define FINAL        crypto_secretstream_xchacha20poly1305_TAG_FINAL

_Static_assert(BOUND_HEADER + crypto_secretstream_xchacha20poly1305_HEADERBYTES == OBJECT_HEADER_SIZE, "the header is as described");
_Static_assert(crypto_secretstream_xchacha20poly1305_KEYBYTES == SEAL_KEY_SIZE, "a data key is a key of a stream");

int object_work_new(const void *ctx, struct object_work **ret, struct err *err)
{
	struct object_work *work = mem_zero(ctx, struct object_work);
	int r = pack_new(work, &work->pack, err);

	if (r < 0) {
		talloc_free(work);
		return r;
	}
	work->plain = mem_resize(work, NULL, uint8_t, OBJECT_SEGMENT); /* not cleared, so not touched */
	work->packed = mem_resize(work, NULL, uint8_t, OBJECT_SEGMENT);
	work->chunk = mem_resize(work, NULL, uint8_t, OBJECT_HEADER_SIZE + CHUNK + OVERHEAD);
	*ret = work;
	return 0;
}

void object_id_of(const uint8_t names_key[SEAL_KEY_SIZE], const void *bytes, size_t size, struct object_id *ret)
{
	crypto_generichash(ret->bytes, sizeof(ret->bytes), bytes, size, names_key, SEAL_KEY_SIZE);
}

void object_name(const struct object_id *id, char ret[OBJECT_NAME_SIZE])
{
	sodium_bin2hex(ret + 1, OBJECT_NAME_SIZE - 1, id->bytes, sizeof(id->bytes));
	ret[0] = ret[1];
	ret[1] = ret[2];
	ret[2] = '/';
}

/* What every message is bound to. */
static void bind_to(const uint8_t header[OBJECT_HEADER_SIZE], const struct object_id *bind, uint8_t ret[BOUND_HEADER + OBJECT_ID_SIZE])
{
	memcpy(ret, header, BOUND_HEADER);
	memcpy(ret + BOUND_HEADER, bind->bytes, OBJECT_ID_SIZE);
}

int object_write(struct object_work *work, const struct seal_key *key, enum object_kind kind, const struct object_id *bind,
	const uint8_t *bytes, size_t size, uint8_t *packed, int fd, int64_t *ret_stored, struct err *err)
{
	size_t shrunk = pack_shrink(work->pack, bytes, size, packed, size), left = shrunk ? shrunk : size, ahead = OBJECT_HEADER_SIZE;
	const uint8_t *at = shrunk ? packed : bytes;
	uint8_t *header = work->chunk, bound[BOUND_HEADER + OBJECT_ID_SIZE];
	crypto_secretstream_xchacha20poly1305_state state;
	bool last;
	int r;

	memset(header, 0, BOUND_HEADER);
	memcpy(header, MAGIC, 7);
	header[7] = FORMAT;
	memcpy(header + 8, key->id, SEAL_ID_SIZE);
	header[24] = shrunk != 0;
	header[25] = (uint8_t)kind;
	for (size_t i = 0; i < 8; i++)
		header[32 + i] = (uint8_t)((uint64_t)size >> (8 * i));
	bind_to(header, bind, bound);
	crypto_secretstream_xchacha20poly1305_init_push(&state, header + BOUND_HEADER, key->bytes);
	*ret_stored = 0;
	do {
		size_t n = MIN(left, CHUNK), length = ahead + n + OVERHEAD;

		last = n == left;
		crypto_secretstream_xchacha20poly1305_push(&state, work->chunk + ahead, NULL, at, n, bound, sizeof(bound),
			last ? FINAL : 0);
		r = fs_write_all(fd, work->chunk, length, err);
		*ret_stored += (int64_t)length;
		at += n;
		left -= n;
		ahead = 0;
	} while (r == 0 && !last);
	sodium_memzero(&state, sizeof(state));
	return r;
}

int object_parse_header(const uint8_t *bytes, size_t size, struct object_header *ret, struct err *err)
{
	static const uint8_t zeros[6];

	if (size < OBJECT_HEADER_SIZE || memcmp(bytes, MAGIC, 7) != 0)
		return err_set(err, ERR_CORRUPT, "it is not a sealed object, or was cut off");
	if (bytes[7] != FORMAT)
		return bytes[7] > FORMAT && bytes[7] <= '9' ? err_set(err, ERR_NEWER, "it has format %c", bytes[7])
							    : err_set(err, ERR_CORRUPT, "its header is damaged");
	if (bytes[24] > 1 || (bytes[25] != OBJECT_CONTENT && bytes[25] != OBJECT_MANIFEST) || memcmp(bytes + 26, zeros, 6) != 0)
		return err_set(err, ERR_CORRUPT, "its header is damaged");
	memcpy(ret->key, bytes + 8, SEAL_ID_SIZE);
	ret->packed = bytes[24] == 1;
	ret->kind = bytes[25];
	ret->size = 0;
	for (size_t i = 0; i < 8; i++)
		ret->size |= (uint64_t)bytes[32 + i] << (8 * i);
	memcpy(ret->bytes, bytes, OBJECT_HEADER_SIZE);
	return 0;
}

int object_read_up_to(int fd, void *ret, size_t size, size_t *ret_size, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)ret + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "cannot read");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return 0;
}

int object_read_header(int fd, struct object_header *ret, struct err *err)
{
	uint8_t bytes[OBJECT_HEADER_SIZE];
	size_t size = 0;
	int r = object_read_up_to(fd, bytes, sizeof(bytes), &size, err);

	return r < 0 ? r : object_parse_header(bytes, size, ret, err);
}

/* The whole stream into `to`, which has `room`. */
static int unseal(struct object_work *work, const struct seal_key *key, const struct object_header *header, const struct object_id *bind,
	int fd, uint8_t *to, size_t room, size_t *ret_size, struct err *err)
{
	crypto_secretstream_xchacha20poly1305_state state;
	uint8_t bound[BOUND_HEADER + OBJECT_ID_SIZE];
	unsigned char tag = 0;
	size_t size = 0;
	int r = 0;

	bind_to(header->bytes, bind, bound);
	if (crypto_secretstream_xchacha20poly1305_init_pull(&state, header->bytes + BOUND_HEADER, key->bytes) != 0)
		return err_set(err, ERR_CORRUPT, "its header is damaged");
	for (;;) {
		unsigned long long got = 0;
		size_t n = 0;

		r = object_read_up_to(fd, work->chunk, CHUNK + OVERHEAD, &n, err);
		if (r < 0 || (n == 0 && tag == FINAL))
			break;
		if (n == 0)
			r = err_set(err, ERR_CORRUPT, "it was cut off: its end is missing");
		else if (tag == FINAL)
			r = err_set(err, ERR_CORRUPT, "something follows its end");
		else if (n < OVERHEAD || n - OVERHEAD > room - size)
			r = err_set(err, ERR_CORRUPT, "it was cut off, or something follows its end");
		else if (crypto_secretstream_xchacha20poly1305_pull(&state, to + size, &got, &tag, work->chunk, n, bound, sizeof(bound)) !=
			0)
			r = err_set(err, ERR_CORRUPT, "it is not what was sealed: changed, cut off, or another object under this name");
		if (r < 0)
			break;
		size += (size_t)got;
	}
	sodium_memzero(&state, sizeof(state));
	*ret_size = size;
	return r;
}

int object_read(struct object_work *work, struct seal *seal, const struct object_header *header, enum object_kind kind,
	const struct object_id *bind, int fd, uint8_t *packed, uint8_t *ret, struct err *err)
{
	const struct seal_key *key;
	size_t size = 0;
	int r;

	if (header->kind != kind)
		return err_set(err, ERR_CORRUPT, "it is of another kind");
	r = seal_find_key(seal, header->key, &key, err);
	if (r == 0)
		r = unseal(work, key, header, bind, fd, header->packed ? packed : ret, header->size, &size, err);
	if (r < 0)
		return r;
	if (header->packed)
		return pack_expand(work->pack, packed, size, ret, header->size, err);
	return size == header->size ? 0 : err_set(err, ERR_CORRUPT, "it has another size");
}
