/* What an answer is sent as: with an entity tag, not at all (304), or compressed. Any thread. */
#include <string.h>
#include <zlib.h>

#include "data/hash.h"
#include "surface/http/inner.h"

#define GZIP_MIN   1024
#define GZIP_LEVEL 5
#define GZIP_BITS  (15 + 16) /* the gzip form of deflate's largest window */

static bool is_text(const char *type)
{
	return type && (!strncmp(type, "text/", 5) || strstr(type, "json") || strstr(type, "javascript") || strstr(type, "xml"));
}

static bool compress_answer(struct exchange *x)
{
	z_stream stream = { 0 };
	size_t room;
	char *out;

	if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	room = deflateBound(&stream, x->answer_size);
	out = mem_array(x->ctx, char, room);
	stream.next_in = (unsigned char *)x->answer;
	stream.avail_in = (unsigned)x->answer_size;
	stream.next_out = (unsigned char *)out;
	stream.avail_out = (unsigned)room;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END) {
		(void)deflateEnd(&stream);
		return false;
	}
	x->answer = out;
	x->answer_size = stream.total_out;
	(void)deflateEnd(&stream);
	return true;
}

/* The tag names the bytes that are sent: the compressed form has one of its own (RFC 9110, 8.8.3). Either of them says that the content is the same. */
static void add_etag(struct inner *inner, bool compressed, const char *hash)
{
	struct exchange *x = &inner->x;
	const char *wanted = exchange_header(x, "If-None-Match"), *plain = mem_printf(x->ctx, "\"%s\"", hash),
		   *small = mem_printf(x->ctx, "\"%s-gz\"", hash);

	exchange_add_header(x, "ETag", compressed ? small : plain);
	if (wanted && (etag_matches(wanted, plain) || etag_matches(wanted, small))) {
		x->status = 304;
		x->answer = NULL;
		x->answer_size = 0;
	}
}

void encoding_apply(struct inner *inner)
{
	struct exchange *x = &inner->x;
	bool readable = !strcmp(x->method, "GET") || !strcmp(x->method, "HEAD"), tagged = readable && x->status == 200 && !x->no_etag,
	     large = x->answer_size >= GZIP_MIN && is_text(x->type), compressed = false;
	char hash[HASH_HEX_SIZE];

	if (tagged && !pairs_find_any_case(&inner->out, "ETag")) {
		hash_blake2b_hex(x->answer, x->answer_size, hash);
		hash[32] = '\0';
	} else {
		tagged = false;
	}
	if (large)
		exchange_add_header(x, "Vary", "Accept-Encoding");
	/* What is made for one caller and holds a secret of theirs (no_etag) is not compressed: its length would tell. */
	if (large && !x->no_etag && accepts_coding(exchange_header(x, "Accept-Encoding"), "gzip"))
		compressed = compress_answer(x);
	if (compressed)
		exchange_add_header(x, "Content-Encoding", "gzip");
	if (tagged)
		add_etag(inner, compressed, hash);
}
