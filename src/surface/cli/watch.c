/* `unship status`: one look at a run, or, with --watch, a following of it while another process carries it out: new entries of the journal are read four times a second until the run has ended, waits for a person, or nobody carries it out any more. */
#include <string.h>

#include "base/clock.h"
#include "ops/runs.h"
#include "runner/runner.h"
#include "surface/cli/remote.h"
#include "surface/cli/watch.h"

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

int following_add(struct following *following, const struct entry *entry, struct err *err)
{
	struct cli *cli = following->cli;
	int r;

	if (!following->run)
		r = run_fold(cli->ctx, entry, 1, &following->run, err);
	else
		r = run_apply(following->run, entry, err);
	if (r < 0)
		return r;
	following->seq = entry->seq;
	live_watch(cli, following->run, entry, run_step(following->run, json_str(entry->data, "step", "")), -1, NULL);
	return 0;
}

bool following_is_over(const struct following *following)
{
	return following->run && (run_status_ended(following->run->status) || following->run->status == RUN_WAITING);
}

static int follow(struct cli *cli, const char *run_id, struct err *err)
{
	struct entry_filter filter = { .run = run_id };
	struct following following = { .cli = cli };
	int r;

	for (;;) {
		struct entry *entries;
		size_t count;

		r = store_read(cli->op.workspace->store, cli->ctx, &filter, &entries, &count, err);
		if (r < 0)
			break;
		for (size_t i = 0; i < count && r == 0; i++)
			r = following_add(&following, &entries[i], err);
		filter.after_seq = following.seq;
		if (r < 0 || !following.run || following_is_over(&following))
			break;
		if (cli->op.interrupted(cli->op.user) || (!count && is_abandoned(cli, following.run)))
			break;
		clock_sleep_ms(LOOK_EVERY_MS);
	}
	return r;
}

static int show(struct cli *cli, json_t **ret, struct err *err)
{
	const struct operation *operation = operation_find("rollbacks.show");

	return cli->remote ? remote_call(cli->remote, operation, cli->input, ret, err)
			   : operation_call(&cli->op, operation, cli->input, ret, err);
}

static int watch(struct cli *cli, const char *id, struct err *err)
{
	int r;

	cli->live = live_start(cli);
	r = cli->remote ? remote_follow(cli->remote, id, err) : follow(cli, id, err);
	live_stop(cli->live);
	cli->live = NULL;
	if (r == -ERR_CANCELLED && cli->remote) { /* as here: looking was ended, and how it stands is shown */
		cli->remote->heedless = true;
		*err = ERR_INIT;
		return 0;
	}
	return r;
}

/* The run that is meant, by its whole id. */
static int find_run(struct cli *cli, const char **ret, bool *ret_carried_out, struct err *err)
{
	json_t *answer;
	int r;

	*ret_carried_out = true;
	if (!cli->remote)
		return workspace_run_id(&cli->op, json_str(cli->input, "id", NULL), ret, err);
	r = show(cli, &answer, err);
	if (r < 0)
		return r;
	*ret = json_str(answer, "rollbackId", "");
	*ret_carried_out = json_flag(answer, "carriedOut", true);
	return 0;
}

/* The exit code of `status` says whether the question could be answered; with --watch it is that of the run. */
int status_run(struct cli *cli, struct err *err)
{
	enum run_status status;
	bool carried_out;
	json_t *answer;
	const char *id;
	int r;

	r = find_run(cli, &id, &carried_out, err);
	if (r == 0 && cli->watch && carried_out)
		r = watch(cli, id, err);
	if (r < 0)
		return r;
	json_put_str(cli->input, "id", id);
	r = show(cli, &answer, err);
	if (r < 0)
		return r;
	cli->answer = answer;
	if (!cli->watch)
		return 0;
	r = run_status_parse(json_str(answer, "status", ""), &status, err);
	if (r < 0 || !run_status_ended(status))
		return r;
	return run_outcome(answer, err);
}
