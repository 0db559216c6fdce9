/* What drivers that start programs of the user share: what a program said goes to the run's log, and its last line into the error. */
#ifndef DRIVERS_PROGRAM_H
#define DRIVERS_PROGRAM_H

#include "base/proc.h"
#include "core/driver.h"

/* Its lines to the log; of many the last ones. */
void program_log(struct driver_call *call, enum log_level level, const char *text, size_t size);
/* Where programs say why they failed; "" when it said nothing. */
const char *program_last_line(const void *ctx, const char *text, size_t size);
/* Runs it to its end and logs what it said. ERR_TIMEOUT when it was not done in time, ERR_FAILED for a signal or any exit code but 0, with its last line. */
must_check int program_run_ok(struct driver_call *call, const struct proc_spec *spec, struct proc_result *ret, struct err *err);

#endif
