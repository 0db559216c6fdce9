/* Readiness, continuously (docs/readiness.md): a chore per environment, which writes down what is news and keeps the numbers of /metrics. */
#ifndef SURFACE_HTTP_READINESS_H
#define SURFACE_HTTP_READINESS_H

#include "surface/http/chores.h"

extern const struct chore chore_readiness;

#endif
