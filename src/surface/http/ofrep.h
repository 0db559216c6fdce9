/* OpenFeature remote evaluation: POST /ofrep/v1/evaluate/flags and /ofrep/v1/evaluate/flags/{key} (docs/flags.md). */
#ifndef SURFACE_HTTP_OFREP_H
#define SURFACE_HTTP_OFREP_H

#include "surface/http/exchange.h"

extern const struct route ofrep_routes[];

#endif
