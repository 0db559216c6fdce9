/* POST /api/rollback/trigger and GET /api/rollback/status/{id}, as other programs know them (docs/reference/rollback-endpoints.md). */
#ifndef SURFACE_HTTP_ROLLBACK_ENDPOINTS_H
#define SURFACE_HTTP_ROLLBACK_ENDPOINTS_H

#include "surface/http/exchange.h"

extern const struct route rollback_endpoint_routes[];

#endif
