/* `unship status`: one look at a run, or, with --watch, a following of it while another process carries it out: new entries of the journal are read four times a second until the run has ended, waits for a person, or nobody carries it out any more. */
#include <string.h>
#include <time.h>

#include "runner/runner.h"
#include "surface/cli/cli.h"

#define LOOK_EVERY_MS 250

/* Begun, and whoever carried it out is gone: nothing more will come. */
static bool is_abandoned(struct cli *cli, const struct run *run)
{
	struct err ignored = ERR_INIT;
	const char *holder;

	return run->status == RUN_IN_PROGRESS &&
		store_holder(cli->op.workspace->store, cli->ctx, runner_claim_name(cli->ctx, run->environment), &holder, &ignored) == 0 &&
		!holder;
}

static int follow(struct cli *cli, const char *run_id, struct err *err)
{
	struct entry_filter filter = { .run = run_id };
	struct timespec pause = { .tv_nsec = LOOK_EVERY_MS * 1000000L };
	struct run *run = NULL;
	int r;

	cli->live = live_start(cli);
	for (;;) {
		struct entry *entries;
		size_t count;

		r = store_read(cli->op.workspace->store, cli->ctx, &filter, &entries, &count, err);
		if (r < 0)
			break;
		for (size_t i = 0; i < count && r == 0; i++) {
			if (!run)
				r = run_fold(cli->ctx, entries, 1, &run, err);
			else
				r = run_apply(run, &entries[i], err);
			if (r == 0)
				live_watch(cli, run, &entries[i], run_step(run, json_str(entries[i].data, "step", "")), -1, NULL);
			filter.after_seq = entries[i].seq;
		}
		if (r < 0 || !run || run_status_ended(run->status) || run->status == RUN_WAITING)
			break;
		if (cli->op.interrupted(cli->op.user) || (!count && is_abandoned(cli, run)))
			break;
		nanosleep(&pause, NULL);
	}
	live_stop(cli->live);
	cli->live = NULL;
	return r;
}

/* The exit code of `status` says whether the question could be answered; with --watch it is that of the run. */
int status_run(struct cli *cli, struct err *err)
{
	json_t *answer;
	const char *id;
	enum run_status status;
	int r;

	r = workspace_run_id(&cli->op, json_str(cli->input, "id", NULL), &id, err);
	if (r == 0 && cli->watch)
		r = follow(cli, id, err);
	if (r < 0)
		return r;
	json_put_str(cli->input, "id", id);
	r = operation_call(&cli->op, operation_find("rollbacks.show"), cli->input, &answer, err);
	if (r < 0)
		return r;
	cli->answer = answer;
	if (!cli->watch)
		return 0;
	r = run_status_parse(json_str(answer, "status", ""), &status, err);
	if (r < 0 || status == RUN_COMPLETED || !run_status_ended(status))
		return r;
	return err_set(err,
		status == RUN_RESTORED          ? ERR_RESTORED
			: status == RUN_REFUSED ? ERR_REFUSED
						: ERR_NEEDS_PERSON,
		"%s", json_str(answer, "message", json_str(answer, "status", "")));
}
