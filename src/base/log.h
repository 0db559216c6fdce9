/* Logs: one line per event to stderr, as text for people or JSON for machines; and the registry of secrets that are scrubbed from all
 * that leaves the process. The level, the form and the registry are the only global state of the program besides the driver list. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/mem.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };
enum log_form { LOG_TEXT, LOG_JSON };

void log_setup(enum log_level level, enum log_form form, int fd);
/* In a forked child whose descriptors were closed: from now on to stderr, whatever was set up. */
void log_to_stderr(void);
enum log_level log_level(void);
must_check int log_level_parse(const char *text, enum log_level *ret, struct err *err);
const char *log_level_name(enum log_level level);

/* The message, then pairs of key and value (both strings, value may be NULL), then NULL:
 *     log_event(LOG_WARN, "lease lost", "run", run_id, "holder", holder, NULL);
 * text form: "2026-11-21T04:53:33.120Z warn  lease lost run=run-01jd holder=web2"; JSON form: {"time","level","message",...}. */
void log_event(enum log_level level, const char *message, ...) __attribute__((sentinel));
/* An error at the top, with its code and hint. */
void log_err(enum log_level level, const struct err *err);

/* Registers a value that must never leave the process (4 bytes or more; shorter ones are ignored because scrubbing them would destroy
 * all text). Thread-safe; the value is copied to locked memory. */
void secret_add(const char *value);
/* The text with every registered secret replaced by "[secret]": exact, base64 (all three alignments, standard and URL alphabet), URL-encoded and
 * JSON-escaped. Returns a new string in `ctx`. */
char *secret_redact(const void *ctx, const char *text);
void secret_forget_all(void); /* for tests */

#endif
