/* Server-sent events (sse.h). Lines are gathered in a buffer; a blank line ends a block. One thread at a time. */
#include "net/sse.h"

#include <string.h>

#include "base/text.h"

struct sse {
	int (*take)(void *user, const struct sse_event *event);
	void *user;
	char *line; /* talloc, what there is of the present line */
	size_t line_size;
	char *data; /* talloc; NULL: no data line yet */
	size_t data_size;
	char *id, *kind;
	int64_t retry_ms;
	bool after_return; /* the last byte was \r: a \n belongs to it */
	bool started;      /* what may begin with a byte order mark is over */
};

struct sse *sse_new(const void *ctx, int (*take)(void *user, const struct sse_event *event), void *user)
{
	struct sse *sse = mem_zero(ctx, struct sse);

	sse->take = take;
	sse->user = user;
	sse->retry_ms = -1;
	sse_restart(sse);
	return sse;
}

static void forget_block(struct sse *sse)
{
	talloc_free(sse->data);
	talloc_free(sse->kind);
	sse->data = sse->kind = NULL;
	sse->data_size = 0;
}

void sse_restart(struct sse *sse)
{
	forget_block(sse);
	talloc_free(sse->line);
	sse->line = mem_strdup(sse, "");
	sse->line_size = 0;
	sse->after_return = sse->started = false;
}

int64_t sse_retry_ms(const struct sse *sse, int64_t fallback_ms)
{
	return sse->retry_ms >= 0 ? sse->retry_ms : fallback_ms;
}

static char *add(const void *ctx, char *text, size_t *size, const char *more, size_t more_size)
{
	text = mem_resize(ctx, text, char, *size + more_size + 1);
	memcpy(text + *size, more, more_size);
	*size += more_size;
	text[*size] = '\0';
	return text;
}

static int end_block(struct sse *sse)
{
	struct sse_event event = { .id = sse->id, .kind = sse->kind ? sse->kind : "message", .data = sse->data };
	int r = sse->take(sse->user, &event);

	forget_block(sse);
	return r;
}

static int take_field(struct sse *sse, const char *name, const char *value, struct err *err)
{
	struct err ignored = ERR_INIT;
	int64_t number;

	if (!strcmp(name, "data")) {
		if (sse->data_size + strlen(value) + 1 > SSE_EVENT_MAX)
			return err_set(err, ERR_TOO_LARGE, "an event is larger than %zu bytes", SSE_EVENT_MAX);
		if (sse->data)
			sse->data = add(sse, sse->data, &sse->data_size, "\n", 1);
		sse->data = add(sse, sse->data, &sse->data_size, value, strlen(value));
	} else if (!strcmp(name, "event")) {
		talloc_free(sse->kind);
		sse->kind = mem_strdup(sse, value);
	} else if (!strcmp(name, "id")) {
		talloc_free(sse->id);
		sse->id = mem_strdup(sse, value);
	} else if (!strcmp(name, "retry") && text_parse_int(value, 0, 3600000, &number, &ignored) == 0) {
		sse->retry_ms = number;
	}
	return 0;
}

static int end_line(struct sse *sse, struct err *err)
{
	char *line = sse->line, *colon;
	int r;

	if (!sse->started && !strncmp(line, "\xef\xbb\xbf", 3))
		line += 3;
	sse->started = true;
	if (!*line) {
		r = end_block(sse);
	} else {
		colon = strchr(line, ':');
		if (colon)
			*colon++ = '\0';
		r = *line ? take_field(sse, line, colon ? colon + (*colon == ' ') : "", err)
			  : 0; /* a line that begins with a colon is a comment */
	}
	talloc_free(sse->line);
	sse->line = mem_strdup(sse, "");
	sse->line_size = 0;
	return r;
}

int sse_feed(struct sse *sse, const char *bytes, size_t size, struct err *err)
{
	while (size) {
		size_t length = 0;
		int r;

		if (sse->after_return && *bytes == '\n') {
			sse->after_return = false;
			bytes++;
			size--;
			continue;
		}
		sse->after_return = false;
		while (length < size && bytes[length] != '\n' && bytes[length] != '\r')
			length++;
		if (sse->line_size + length > SSE_EVENT_MAX)
			return err_set(err, ERR_TOO_LARGE, "a line is longer than %zu bytes", SSE_EVENT_MAX);
		sse->line = add(sse, sse->line, &sse->line_size, bytes, length);
		if (length == size)
			return 0;
		sse->after_return = bytes[length] == '\r';
		bytes += length + 1;
		size -= length + 1;
		r = end_line(sse, err);
		if (r != 0)
			return r;
	}
	return 0;
}
