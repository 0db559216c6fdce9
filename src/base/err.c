/* The error value: cause first, context in front. All texts pass through one cleaner, so that an error can be printed
 * anywhere: control characters become \xNN, and a text that is too long is cut between characters, marked by "...".
 * No state, no allocation: an error can be made when nothing else works. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>

static const struct err_info infos[ERR_COUNT] = {
	[ERR_NONE] = { "none", "no error", 200, 0, "" },
#define ERROR(name_, text_, http_, exit_, hint_) [ERR_##name_] = { #name_, text_, http_, exit_, hint_ },
#include "base/errors.def"
#undef ERROR
};

/* The stable names, made once from the table: NOT_FOUND is "not-found" outside. */
static char names[ERR_COUNT][24];
static struct err_info public_infos[ERR_COUNT];

__attribute__((constructor)) static void err_make_names(void)
{
	for (size_t i = 0; i < ERR_COUNT; i++) {
		const char *from = infos[i].name;
		size_t n = 0;

		for (; *from && n + 1 < sizeof(names[i]); from++)
			names[i][n++] = (char)(*from == '_' ? '-' : *from >= 'A' && *from <= 'Z' ? *from - 'A' + 'a' : *from);
		assert_always(!*from);
		public_infos[i] = infos[i];
		public_infos[i].name = names[i];
	}
}

const struct err_info *err_info(enum err_code code)
{
	if ((int)code < 0 || code >= ERR_COUNT)
		code = ERR_INTERNAL;
	return &public_infos[code];
}

enum err_code err_from_name(const char *name)
{
	for (size_t i = ERR_NONE + 1; name && i < ERR_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return (enum err_code)i;
	return ERR_INTERNAL;
}

/* Shortens to `length` bytes without splitting a UTF-8 character, and marks the cut. */
static void cut(char *text, size_t length)
{
	static const char mark[] = "...";

	if (strlen(text) <= length)
		return;
	if (length < sizeof(mark)) {
		text[0] = 0;
		return;
	}
	length -= sizeof(mark) - 1;
	while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	memcpy(text + length, mark, sizeof(mark));
}

/* Copies with control characters written as \xNN. `size` includes the final 0. */
static void clean(char *to, size_t size, const char *from)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; *from; from++) {
		unsigned char c = (unsigned char)*from;

		if (c >= 0x20 && c != 0x7f) {
			if (n + 1 >= size)
				break;
			to[n++] = (char)c;
		} else {
			if (n + 4 >= size)
				break;
			to[n++] = '\\';
			to[n++] = 'x';
			to[n++] = digits[c >> 4];
			to[n++] = digits[c & 15];
		}
	}
	to[n] = 0;
}

/* Formats into a buffer of its own first: an argument may be err->text itself. */
__attribute__((format(printf, 3, 0))) static void format_clean(char *to, size_t size, const char *format, va_list arguments)
{
	char raw[ERR_TEXT_MAX * 2];

	if (vsnprintf(raw, sizeof(raw), format, arguments) < 0)
		raw[0] = 0;
	clean(to, size, raw);
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	char text[ERR_TEXT_MAX * 2];
	va_list arguments;

	va_start(arguments, format);
	format_clean(text, sizeof(text), format, arguments);
	va_end(arguments);
	cut(text, ERR_TEXT_MAX - 1);

	err->code = code;
	err->line = err->column = 0;
	err->advised = false;
	memcpy(err->text, text, strlen(text) + 1);
	return -(int)code;
}

static enum err_code code_of_errno(int error_number)
{
	switch (error_number) {
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ENOENT:
		return ERR_NOT_FOUND;
	default:
		return ERR_IO;
	}
}

int err_errno(struct err *err, int error_number, const char *format, ...)
{
	char text[ERR_TEXT_MAX * 2], reason_buffer[128];
	const char *reason;
	va_list arguments;

	va_start(arguments, format);
	format_clean(text, sizeof(text), format, arguments);
	va_end(arguments);
	reason = strerror_r(error_number, reason_buffer, sizeof(reason_buffer));
	cut(text, ERR_TEXT_MAX - 1 - strlen(": ") - strlen(reason)); /* the reason is the cause: it stays whole */
	return err_set(err, code_of_errno(error_number), "%s: %s", text, reason);
}

int err_in(struct err *err, const char *format, ...)
{
	char context[ERR_TEXT_MAX * 2];
	size_t used = strlen(err->text), room, length;
	va_list arguments;

	if (err->code == ERR_NONE)
		err->code = ERR_INTERNAL;
	va_start(arguments, format);
	format_clean(context, sizeof(context), format, arguments);
	va_end(arguments);

	room = ERR_TEXT_MAX - 1 - used;
	if (room > strlen(": ")) {
		cut(context, room - strlen(": "));
		length = strlen(context);
		if (length > 0) {
			memmove(err->text + length + 2, err->text, used + 1);
			memcpy(err->text, context, length);
			memcpy(err->text + length, ": ", 2);
		}
	}
	return -(int)err->code;
}

int err_advised(struct err *err)
{
	err->advised = true;
	return -(int)err->code;
}

int err_as(struct err *err, enum err_code code)
{
	err->code = code;
	return -(int)code;
}
