/* Log lines. One event is one write(2) of one line, so that lines of several threads and processes do not mix, and no lock is
 * needed. Every piece passes through secret_redact as it was given (escaping first could hide a secret from the
 * search) and then through text_printable. Threads: any; the settings are atomics. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/text.h"

static atomic_int current_level = LOG_INFO;
static atomic_int current_form = LOG_TEXT;
static atomic_int current_fd = STDERR_FILENO;

static const char *const
	level_names[] = { [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", [LOG_NONE] = "none" };

void log_setup(enum log_level level, enum log_form form, int fd)
{
	atomic_store(&current_level, (int)level);
	atomic_store(&current_form, (int)form);
	atomic_store(&current_fd, fd);
}

void log_to_stderr(void)
{
	atomic_store(&current_fd, STDERR_FILENO);
}

enum log_level log_level(void)
{
	return (enum log_level)atomic_load(&current_level);
}

const char *log_level_name(enum log_level level)
{
	return (size_t)level < ARRAY_SIZE(level_names) ? level_names[level] : "none";
}

int log_level_parse(const char *text, enum log_level *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	return err_set(err, ERR_INVALID, "'%s' is not a log level: debug, info, warn, error or none", text);
}

/* Scrubbed and safe to print. In JSON, line breaks stay what they are: they are escaped there anyway. */
static char *clean(const void *ctx, const char *text, enum log_form form)
{
	char *scrubbed = secret_redact(ctx, text);

	return text_printable(ctx, scrubbed, strlen(scrubbed), form == LOG_JSON);
}

static char *append_quoted(char *line, const char *text, enum log_form form)
{
	line = mem_append(line, "\"");
	while (*text) {
		size_t plain = strcspn(text, "\"\\\n\t");

		line = mem_appendf(line, "%.*s", (int)plain, text);
		text += plain;
		if (*text)
			line = mem_append(line, *text == '\n' ? "\\n" : *text == '\t' ? "\\t" : *text == '"' ? "\\\"" : "\\\\");
		text += *text != 0;
	}
	return mem_append(line, "\"");
}

static char *append_pair(const void *ctx, char *line, enum log_form form, const char *key, const char *value)
{
	char *text = value ? clean(ctx, value, form) : NULL;

	if (form == LOG_JSON) {
		line = append_quoted(mem_append(line, ","), clean(ctx, key, form), form);
		line = mem_append(line, ":");
		return text ? append_quoted(line, text, form) : mem_append(line, "null");
	}
	line = mem_appendf(line, " %s=", clean(ctx, key, form));
	if (!text)
		return mem_append(line, "-");
	if (!*text || strcmp(text, "-") == 0 || strpbrk(text, " \"="))
		return append_quoted(line, text, form);
	return mem_append(line, text);
}

static void write_line(const char *line)
{
	size_t size = strlen(line);
	int fd = atomic_load(&current_fd);

	while (size > 0) {
		ssize_t n = write(fd, line, size);

		if (n < 0 && errno != EINTR)
			return; /* where could it be told? */
		if (n > 0) {
			line += n;
			size -= (size_t)n;
		}
	}
}

void log_event(enum log_level level, const char *message, ...)
{
	enum log_form form = (enum log_form)atomic_load(&current_form);
	_cleanup_talloc_ void *ctx = NULL;
	const char *key, *value;
	va_list arguments;
	int saved = errno;
	char *line;

	if (level < log_level() || level >= LOG_NONE)
		return;
	ctx = mem_context(NULL);
	line = clock_format(ctx, clock_wall_ms());
	if (form == LOG_JSON) {
		line = mem_printf(ctx, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", line, log_level_name(level));
		line = append_quoted(line, clean(ctx, message, form), form);
	} else {
		line = mem_appendf(line, " %-5s %s", log_level_name(level), clean(ctx, message, form));
	}
	va_start(arguments, message);
	while ((key = va_arg(arguments, const char *))) {
		value = va_arg(arguments, const char *);
		line = append_pair(ctx, line, form, key, value);
	}
	va_end(arguments);
	write_line(mem_append(line, form == LOG_JSON ? "}\n" : "\n"));
	errno = saved;
}

void log_err(enum log_level level, const struct err *err)
{
	const struct err_info *info = err_info(err->code);
	char place[32];

	if (err->line == 0) {
		log_event(level, err->text, "code", info->name, "hint", info->hint, NULL);
		return;
	}
	(void)snprintf(place, sizeof(place), "%u:%u", err->line, err->column);
	log_event(level, err->text, "code", info->name, "at", place, "hint", info->hint, NULL);
}
