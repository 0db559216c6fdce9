/* The channels that are built in, in the order in which they are listed. */
#include "channels/list.h"

const struct channel *const channel_list[] = { &channel_in_app, &channel_webhook, NULL };
