/* The channels that are built in. A new one is a file and a line in list.c. */
#ifndef CHANNELS_LIST_H
#define CHANNELS_LIST_H

#include "core/driver.h"

extern const struct channel *const channel_list[]; /* ends with NULL */

extern const struct channel channel_in_app, channel_webhook;

#endif
