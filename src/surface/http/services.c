/* What works beside requests. To add a service: its file, a line here. They are started in this order and stopped in the reverse one. */
#include "surface/http/chores.h"
#include "surface/http/events.h"
#include "surface/http/flag_cache.h"
#include "surface/http/follow.h"
#include "surface/http/health.h"
#include "surface/http/metrics.h"
#include "surface/http/oidc.h"
#include "surface/http/server.h"
#include "surface/http/sinks.h"

const struct service *const services[] = {
	&follower_service, /* the others stand on it */
	&metrics_service,  /* counts what the others write */
	&events_service,
	&health_service,
	&flag_service,
	&oidc_service,
	&sinks_service,
	&chores_service,
	NULL,
};

void *service_state(struct server *server, const struct service *service)
{
	for (size_t i = 0; services[i]; i++)
		if (services[i] == service)
			return server->services[i];
	return NULL;
}
