/* The registry of secrets and the scrubber. For each secret all the forms in which it may turn up are made once, when it is
 * registered; scrubbing then is a search for fixed strings, with a table of first bytes so that text without secrets costs
 * one look per byte. The forms lie in pages of their own that are locked (not swapped), left out of core dumps, and
 * wiped when forgotten. Base64 of a longer text that contains the secret shows it in one of three alignments: the digits
 * that depend on the secret alone are searched for, and the digit at each edge that shares bits with its neighbour goes with them.
 * Threads: one mutex around the registry. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/text.h"

#define SECRET_MIN 4
#define FORMS_MAX  20 /* exact, 8 JSON, 4 URL, 6 base64 */

static const char replacement[] = "[secret]";

struct form {
	const char *text;
	size_t length;
	bool base64, shares_first, shares_last; /* the digit before or after holds bits of the secret too */
};

struct secret {
	char *pages;
	size_t pages_size;
	struct form forms[FORMS_MAX];
	size_t form_count;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct secret *secrets;
static size_t secret_count;
static atomic_bool any;
static bool first_bytes[256];

/* Appends a form at `end` of the pages unless an equal one is there; returns the new end. */
static char *keep_form(struct secret *secret, struct form form, char *end)
{
	for (size_t i = 0; i < secret->form_count; i++)
		if (secret->forms[i].length == form.length && memcmp(secret->forms[i].text, form.text, form.length) == 0)
			return end;
	assert_always(secret->form_count < FORMS_MAX);
	secret->forms[secret->form_count++] = form;
	return end + form.length;
}

static size_t hex_escape(char *to, const char *prefix, unsigned value, int width, bool upper)
{
	char digits[16];
	int n = snprintf(digits, sizeof(digits), upper ? "%s%0*X" : "%s%0*x", prefix, width, value);

	memcpy(to, digits, (size_t)n);
	return (size_t)n;
}

/* The code point at `at`, whose text is valid UTF-8. */
static unsigned code_point(const char **at)
{
	uint8_t first = (uint8_t) * (*at)++;
	int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
	unsigned code = more ? first & (0x3fu >> more) : first;

	for (; more > 0; more--)
		code = code << 6 | ((uint8_t) * (*at)++ & 0x3f);
	return code;
}

/* As JSON writers do it, which differ: "\/" or "/", plain UTF-8 or \uXXXX, upper or lower hexadecimal digits. */
static size_t json_form(char *to, const char *value, bool escape_slash, bool ascii, bool upper)
{
	static const char specials[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
	char *start = to;

	while (*value) {
		const char *special = strchr(specials, *value);
		unsigned code;

		if (special || (*value == '/' && escape_slash)) {
			*to++ = '\\';
			*to++ = special ? letters[special - specials] : '/';
			value++;
			continue;
		}
		if ((uint8_t)*value >= 0x20 && ((uint8_t)*value < 0x80 || !ascii)) {
			*to++ = *value++;
			continue;
		}
		code = code_point(&value);
		if (code >= 0x10000) {
			to += hex_escape(to, "\\u", 0xd800 + ((code - 0x10000) >> 10), 4, upper);
			code = 0xdc00 + ((code - 0x10000) & 0x3ff);
		}
		to += hex_escape(to, "\\u", code, 4, upper);
	}
	return (size_t)(to - start);
}

static size_t url_form(char *to, const char *value, bool upper, bool plus)
{
	char *start = to;

	for (; *value; value++) {
		bool unreserved = (*value >= '0' && *value <= '9') || (*value >= 'a' && *value <= 'z') ||
			(*value >= 'A' && *value <= 'Z') || strchr("-._~", *value);

		if (unreserved)
			*to++ = *value;
		else if (*value == ' ' && plus)
			*to++ = '+';
		else
			to += hex_escape(to, "%", (uint8_t)*value, 2, upper);
	}
	return (size_t)(to - start);
}

/* The digits that the value alone decides when it starts `shift` bytes after a multiple of three. */
static struct form base64_form(char *to, const char *value, size_t length, size_t shift, bool url)
{
	const char *digits = url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
				 : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t first_bit = shift * 8, end_bit = (shift + length) * 8, first = (first_bit + 5) / 6, end = end_bit / 6;

	for (size_t digit = first; digit < end; digit++) {
		unsigned bits = 0;

		for (size_t bit = digit * 6 - first_bit; bit < digit * 6 - first_bit + 6; bit++)
			bits = bits << 1 | ((uint8_t)value[bit / 8] >> (7 - bit % 8) & 1u);
		to[digit - first] = digits[bits];
	}
	return (struct form){ .text = to,
		.length = end - first,
		.base64 = true,
		.shares_first = first_bit % 6 != 0,
		.shares_last = end_bit % 6 != 0 };
}

static void make_forms(struct secret *secret, const char *value, size_t length)
{
	bool utf8 = text_is_utf8(value, length);
	char *end = secret->pages;

	memcpy(end, value, length);
	end = keep_form(secret, (struct form){ .text = end, .length = length }, end);
	for (int i = 0; i < 8 && utf8; i++)
		end = keep_form(secret, (struct form){ .text = end, .length = json_form(end, value, i & 1, i & 2, i & 4) }, end);
	for (int i = 0; i < 4; i++)
		end = keep_form(secret, (struct form){ .text = end, .length = url_form(end, value, i & 1, i & 2) }, end);
	for (size_t i = 0; i < 6; i++)
		end = keep_form(secret, base64_form(end, value, length, i % 3, i >= 3), end);
	assert_always(end <= secret->pages + secret->pages_size);
}

static bool is_known(const char *value, size_t length)
{
	for (size_t i = 0; i < secret_count; i++)
		if (secrets[i].forms[0].length == length && memcmp(secrets[i].forms[0].text, value, length) == 0)
			return true;
	return false;
}

static void add_locked(const char *value, size_t length)
{
	struct secret secret = { 0 };
	char *copy;

	/* Room for every form at its longest: JSON 6 bytes for one, URL 3, base64 4 for 3; the 0 is for the working copy. */
	secret.pages_size = length * (1 + 8 * 6 + 4 * 3 + 6 * 2) + 256;
	secret.pages = mmap(NULL, secret.pages_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem_check(secret.pages == MAP_FAILED ? NULL : secret.pages);
	(void)mlock(secret.pages, secret.pages_size); /* the limit on locked memory may be tiny; a secret unlocked beats one unscrubbed */
	(void)madvise(secret.pages, secret.pages_size, MADV_DONTDUMP);

	/* A terminated working copy at the far end, wiped at once: the caller's value may have a line end that is not part of the secret. */
	copy = secret.pages + secret.pages_size - length - 1;
	memcpy(copy, value, length);
	copy[length] = 0;
	make_forms(&secret, copy, length);
	explicit_bzero(copy, length);

	secrets = mem_check(realloc(secrets, (secret_count + 1) * sizeof(*secrets)));
	secrets[secret_count++] = secret;
	for (size_t i = 0; i < secret.form_count; i++)
		first_bytes[(uint8_t)secret.forms[i].text[0]] = true;
	atomic_store(&any, true);
}

void secret_add(const char *value)
{
	size_t length = strlen(value);

	while (length > 0 && (value[length - 1] == '\n' || value[length - 1] == '\r')) /* files of secrets end with a line end */
		length--;
	if (length < SECRET_MIN)
		return;
	(void)pthread_mutex_lock(&mutex);
	if (!is_known(value, length))
		add_locked(value, length);
	(void)pthread_mutex_unlock(&mutex);
}

/* The longest form of any secret that stands at `at`. */
static const struct form *find_form(const char *at, size_t left)
{
	const struct form *best = NULL;

	for (size_t i = 0; i < secret_count; i++)
		for (size_t j = 0; j < secrets[i].form_count; j++) {
			const struct form *form = &secrets[i].forms[j];

			if (form->length <= left && (!best || form->length > best->length) && memcmp(at, form->text, form->length) == 0)
				best = form;
		}
	return best;
}

static bool is_base64(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("+/-_", c));
}

char *secret_redact(const void *ctx, const char *text)
{
	const char *at = text, *end, *plain = text; /* from `plain` to `at` nothing was found yet */
	char *result;

	if (!atomic_load(&any))
		return mem_strdup(ctx, text);
	result = mem_strdup(ctx, "");
	end = text + strlen(text);
	(void)pthread_mutex_lock(&mutex);
	while (at < end) {
		const struct form *form = first_bytes[(uint8_t)*at] ? find_form(at, (size_t)(end - at)) : NULL;
		const char *plain_end = at;

		if (!form) {
			at++;
			continue;
		}
		if (form->shares_first && plain_end > plain && is_base64(plain_end[-1]))
			plain_end--;
		result = mem_check(talloc_strndup_append_buffer(result, plain, (size_t)(plain_end - plain)));
		result = mem_append(result, replacement);
		at += form->length;
		if (form->shares_last && is_base64(*at))
			at++;
		while (form->base64 && *at == '=')
			at++;
		plain = at;
	}
	(void)pthread_mutex_unlock(&mutex);
	return mem_append(result, plain);
}

void secret_forget_all(void)
{
	(void)pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < secret_count; i++) {
		explicit_bzero(secrets[i].pages, secrets[i].pages_size);
		(void)munmap(secrets[i].pages, secrets[i].pages_size);
	}
	free(secrets);
	secrets = NULL;
	secret_count = 0;
	memset(first_bytes, 0, sizeof(first_bytes));
	atomic_store(&any, false);
	(void)pthread_mutex_unlock(&mutex);
}
