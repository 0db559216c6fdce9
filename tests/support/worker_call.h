/* Calls for tests of drivers, probes and channels: parameters from JSON text by the worker's own field table, as the host would make
 * them. Secrets are taken from {env: NAME};
 * words and progress are kept in the call's log. Brings call_log, call_progress and call_secret of its own, so the host is not linked. */
#ifndef TESTS_WORKER_CALL_H
#define TESTS_WORKER_CALL_H

#include "core/driver.h"

/* Deadline 10 s from now. The test fails when the text is no JSON or the parameters have problems. */
struct driver_call *worker_call(const void *ctx, const struct field *fields, size_t params_size, const char *project_dir,
	const char *config);
/* Object from text; single quotes stand for double ones. */
json_t *worker_json(const void *ctx, const char *text);
/* All that was logged so far in this process, a line each. */
const char *worker_log(void);
void worker_log_clear(void);

#endif
