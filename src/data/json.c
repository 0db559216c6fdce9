/* JSON values in the talloc tree, and the one writer of JSON text (canonical and for people).
 *
 * jansson reads; this file writes, because canonical text needs the shortest reals and a fixed order, which jansson does not offer.
 * Threads: json_setup once before any other; then any thread, each with its own values (jansson counts references atomically, but
 * a value must not be changed while another thread reads it). */
#include "data/json.h"

#include <math.h>

#include "base/text.h"
#include "data/out.h"
#include "data/read.h"

#define REAL_TEXT_SIZE 64

static void *alloc_or_abort(size_t size)
{
	return mem_check(malloc(size > 0 ? size : 1));
}

void json_setup(void)
{
	json_set_alloc_funcs(alloc_or_abort, free);
	json_object_seed(0); /* from /dev/urandom, now: doing it in two threads at once would be a race */
}

struct kept {
	json_t *value;
};

static int kept_free(struct kept *kept)
{
	json_decref(kept->value);
	return 0;
}

json_t *json_keep(const void *ctx, json_t *reference)
{
	struct kept *kept;

	assert_always(reference != NULL);
	kept = mem_zero(ctx, struct kept);
	kept->value = reference;
	talloc_set_destructor(kept, kept_free);
	return reference;
}

int json_parse(const void *ctx, const char *text, size_t size, size_t max, json_t **ret, struct err *err)
{
	json_t *root;
	int r;

	if (size > max)
		return err_set(err, ERR_TOO_LARGE, "JSON text of %zu bytes; at most %zu are read", size, max);
	r = read_check_text(NULL, &text, &size, err);
	if (r < 0)
		return r;
	r = read_json(NULL, text, size, NULL, &root, err);
	if (r < 0)
		return r;
	*ret = json_keep(ctx, root);
	return 0;
}

/* Shortest decimal digits that read back as the same double, and the position of the decimal point before which they stand. */
static size_t real_digits(double value, char digits[20], int *ret_point)
{
	char text[40];
	size_t count = 0;
	char *e;

	for (int precision = 0; precision <= 16; precision++) {
		(void)snprintf(text, sizeof(text), "%.*e", precision, value);
		if (strtod(text, NULL) == value) /* exact on purpose */
			break;
	}
	e = strchr(text, 'e');
	assert_always(e != NULL);
	*ret_point = atoi(e + 1) + 1;
	for (const char *p = text; p < e; p++)
		if (*p >= '0' && *p <= '9')
			digits[count++] = *p;
	while (count > 1 && digits[count - 1] == '0')
		count--;
	digits[count] = 0;
	return count;
}

/* The form of ECMAScript's Number::toString, which RFC 8785 prescribes, but with an exponent from 2^53 on (see json.h). */
static void write_real(double value, char ret[REAL_TEXT_SIZE])
{
	const char *sign = value < 0 ? "-" : "";
	double size = fabs(value);
	char digits[20];
	int point, count;

	if (size == 0) {
		(void)snprintf(ret, REAL_TEXT_SIZE, "0");
		return;
	}
	count = (int)real_digits(size, digits, &point);
	if (size >= 9007199254740992.0 || point <= -6)
		(void)snprintf(ret, REAL_TEXT_SIZE, "%s%c%s%se%+d", sign, digits[0], count > 1 ? "." : "", digits + 1, point - 1);
	else if (count <= point)
		(void)snprintf(ret, REAL_TEXT_SIZE, "%s%s%.*s", sign, digits, point - count, "0000000000000000");
	else if (point > 0)
		(void)snprintf(ret, REAL_TEXT_SIZE, "%s%.*s.%s", sign, point, digits, digits + point);
	else
		(void)snprintf(ret, REAL_TEXT_SIZE, "%s0.%.*s%s", sign, -point, "000000", digits);
}

char *json_scalar_text(const void *ctx, const json_t *value)
{
	char real[REAL_TEXT_SIZE];

	switch (json_typeof(value)) {
	case JSON_STRING:
		return mem_strndup(ctx, json_string_value(value), json_string_length(value));
	case JSON_INTEGER:
		return mem_printf(ctx, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	case JSON_REAL:
		write_real(json_real_value(value), real);
		return mem_strdup(ctx, real);
	case JSON_TRUE:
	case JSON_FALSE:
		return mem_strdup(ctx, json_is_true(value) ? "true" : "false");
	default:
		return NULL;
	}
}

static void write_string(struct out *out, const char *text, size_t length)
{
	static const char shorts[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
	size_t from = 0;

	out_char(out, '"');
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		out_bytes(out, text + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\') {
			out_char(out, '\\');
			out_char(out, (char)c);
		} else if (c < sizeof(shorts) && shorts[c]) {
			out_char(out, '\\');
			out_char(out, shorts[c]);
		} else {
			out_printf(out, "\\u%04x", c);
		}
	}
	out_bytes(out, text + from, length - from);
	out_char(out, '"');
}

struct style {
	bool canonical;
};

static void write_value(struct out *out, const json_t *value, struct style style, unsigned depth);

static void write_break(struct out *out, struct style style, unsigned depth)
{
	if (style.canonical)
		return;
	out_char(out, '\n');
	for (unsigned i = 0; i < depth; i++)
		out_text(out, "  ");
}

struct member {
	const char *key;
	size_t length;
	const json_t *value;
};

static int member_compare(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int order = memcmp(x->key, y->key, MIN(x->length, y->length));

	if (order != 0)
		return order;
	return (x->length > y->length) - (x->length < y->length);
}

static void write_object(struct out *out, const json_t *object, struct style style, unsigned depth)
{
	size_t count = json_object_size(object), i = 0;
	_cleanup_talloc_ struct member *members = NULL;

	if (count == 0) {
		out_text(out, "{}");
		return;
	}
	members = mem_array(NULL, struct member, count);
	for (void *it = json_object_iter((json_t *)object); it; it = json_object_iter_next((json_t *)object, it))
		members[i++] = (struct member){ json_object_iter_key(it), json_object_iter_key_len(it), json_object_iter_value(it) };
	if (style.canonical)
		qsort(members, count, sizeof(members[0]), member_compare);
	out_char(out, '{');
	for (i = 0; i < count; i++) {
		if (i > 0)
			out_char(out, ',');
		write_break(out, style, depth + 1);
		write_string(out, members[i].key, members[i].length);
		out_text(out, style.canonical ? ":" : ": ");
		write_value(out, members[i].value, style, depth + 1);
	}
	write_break(out, style, depth);
	out_char(out, '}');
}

static void write_array(struct out *out, const json_t *array, struct style style, unsigned depth)
{
	size_t count = json_array_size(array);

	if (count == 0) {
		out_text(out, "[]");
		return;
	}
	out_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			out_char(out, ',');
		write_break(out, style, depth + 1);
		write_value(out, json_array_get(array, i), style, depth + 1);
	}
	write_break(out, style, depth);
	out_char(out, ']');
}

static void write_value(struct out *out, const json_t *value, struct style style, unsigned depth)
{
	char real[REAL_TEXT_SIZE];

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		write_object(out, value, style, depth);
		break;
	case JSON_ARRAY:
		write_array(out, value, style, depth);
		break;
	case JSON_STRING:
		write_string(out, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
		out_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		write_real(json_real_value(value), real);
		out_text(out, real);
		if (!style.canonical && !strpbrk(real, ".e"))
			out_text(out, ".0"); /* people see that it is not a whole number by type */
		break;
	case JSON_TRUE:
		out_text(out, "true");
		break;
	case JSON_FALSE:
		out_text(out, "false");
		break;
	case JSON_NULL:
		out_text(out, "null");
		break;
	}
}

char *json_canonical(const void *ctx, const json_t *value)
{
	struct out out;

	out_start(&out, ctx);
	write_value(&out, value, (struct style){ .canonical = true }, 0);
	return out_take(&out);
}

char *json_pretty(const void *ctx, const json_t *value)
{
	struct out out;

	out_start(&out, ctx);
	write_value(&out, value, (struct style){ .canonical = false }, 0);
	return out_take(&out);
}

json_t *json_make(const void *ctx, const char *format, ...)
{
	json_error_t error;
	va_list arguments;
	json_t *value;

	va_start(arguments, format);
	value = json_vpack_ex(&error, 0, format, arguments);
	va_end(arguments);
	if (!value)
		assert_failed(error.text, format, error.column);
	return json_keep(ctx, value);
}

const char *json_str(const json_t *object, const char *key, const char *fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_int(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool json_flag(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static void put_new(json_t *object, const char *key, json_t *value)
{
	assert_always(value != NULL && json_object_set_new(object, key, value) == 0);
}

void json_put_str(json_t *object, const char *key, const char *value)
{
	_cleanup_talloc_ char *printable = NULL;

	if (!value)
		return;
	if (!text_is_utf8(value, strlen(value))) {
		printable = text_printable(NULL, value, strlen(value), true);
		value = printable;
	}
	put_new(object, key, json_string(value));
}

void json_put_int(json_t *object, const char *key, int64_t value)
{
	put_new(object, key, json_integer(value));
}

void json_put_flag(json_t *object, const char *key, bool value)
{
	put_new(object, key, json_boolean(value));
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (value)
		put_new(object, key, json_incref(value));
}
