/* The built-in drivers: one line each. Constant; any thread. */
#include "drivers/list.h"

const struct driver *const driver_list[] = {
	&driver_git_release,
	&driver_files,
	&driver_process,
	&driver_sqlite,
	&driver_postgres,
	&driver_mysql,
	&driver_mongodb,
	&driver_redis,
	&driver_flags,
	&driver_command,
	&driver_drain,
	NULL,
};
