/* POST /api/v1/hooks/alertmanager and /api/v1/hooks/webhook/{name}: webhooks of other programs (docs/hooks.md, core/hook.h). */
#ifndef SURFACE_HTTP_HOOKS_H
#define SURFACE_HTTP_HOOKS_H

#include "surface/http/server.h"

extern const struct route hook_routes[];

#endif
