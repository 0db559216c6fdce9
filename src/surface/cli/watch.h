/* Following a run in the live view: entries as they come, wherever they come from. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "core/run.h"
#include "surface/cli/cli.h"

struct following {
	struct cli *cli;
	struct run *run; /* NULL before the first entry */
	int64_t seq;     /* of the last entry */
};

/* The next entry of the run, in order; what it points to stays until cli->ctx goes. */
must_check int following_add(struct following *following, const struct entry *entry, struct err *err);
bool following_is_over(const struct following *following); /* it has ended, or waits for a person */

#endif
