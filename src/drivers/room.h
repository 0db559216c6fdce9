/* Room on a disk: what a driver says of how much it is going to write. All drivers' words together are compared with what is free (ops/checks.h). */
#ifndef DRIVERS_ROOM_H
#define DRIVERS_ROOM_H

#include "core/driver.h"

/* Adds the finding "disk_space": is there room for so many bytes in the folder? Its evidence {"folder","device","neededBytes","freeBytes"} lets several be summed up. Says nothing of a folder
 * that cannot be asked. */
void room_check(struct driver_call *call, const char *folder, uint64_t needed_bytes, struct findings *ret);
/* Bytes of all files below, links not followed; as far as it gets until `until_ms` (monotonic). 0 when there is nothing. */
uint64_t room_of_tree(const char *path, int64_t until_ms);

#endif
