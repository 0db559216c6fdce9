/* The drivers that are built in, for the catalogue in main.c and for tests. A new driver is one line in list.c. */
#ifndef DRIVERS_LIST_H
#define DRIVERS_LIST_H

#include "core/driver.h"

extern const struct driver *const driver_list[]; /* ends with NULL */

extern const struct driver driver_git_release, driver_files, driver_process, driver_command, driver_flags, driver_sqlite, driver_postgres,
	driver_mysql, driver_mongodb, driver_redis, driver_drain;

#endif
