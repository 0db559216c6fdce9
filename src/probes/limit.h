/* What all probes share: the time that is left, and a result in one line. */
#ifndef PROBES_LIMIT_H
#define PROBES_LIMIT_H

#include "core/driver.h"

/* Milliseconds that the probe may take: what is left of the call, less a tenth (at most 100 ms), so that it says by itself that time is
 * up before the runner ends it. At least 1. */
int64_t probe_time_left(const struct driver_call *call);
/* Fills *ret; the message is cleaned of control characters and cut at 1,000 bytes. */
void probe_say(struct driver_call *call, struct probe_result *ret, enum probe_status status, const char *format, ...) printf_like(4, 5);
/* A probe that met `err`: failed, with its text. For errors of the thing that is looked at; those of the configuration are returned as
 * errors. */
void probe_say_err(struct driver_call *call, struct probe_result *ret, const struct err *err);
/* WARN in place of PASS when it took longer than `warn_above_ms` (0: never). Sets details.latencyMs. */
void probe_took(struct driver_call *call, struct probe_result *ret, int64_t took_ms, int64_t warn_above_ms);

#endif
