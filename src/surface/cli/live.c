/* The live view of a run. The runner's thread reports through live_watch; what is shown is copied under a mutex. At a terminal a thread of the view redraws the steps in place ten times a second (elapsed time against the
 * step's limit, what it is doing); elsewhere each change is one plain line. The view never touches the run itself. */
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "surface/cli/cli.h"

#define ROWS_MAX 30
#define FRAME_MS 100

struct row {
	char name[64], doing[160];
	enum mark mark;
	int64_t begun_ms, took_ms, limit_ms;
	double share;
	int attempt;
};

struct live {
	struct cli *cli;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool threaded, stopping;
	struct row *rows;
	size_t row_count, drawn;
	char headline[200];
};

static enum mark mark_of(const struct run_step *step)
{
	if (step->wait_for != WAIT_NOTHING)
		return MARK_WAIT;
	switch (step->status) {
	case STEP_DONE:
		return MARK_OK;
	case STEP_FAILED:
	case STEP_UNKNOWN:
	case STEP_UNDO_FAILED:
		return MARK_FAIL;
	case STEP_BEGUN:
	case STEP_UNDOING:
		return MARK_BUSY;
	case STEP_UNDONE:
		return MARK_WARN;
	default:
		return MARK_NONE;
	}
}

static void put(char *place, size_t size, const char *text)
{
	snprintf(place, size, "%s", text ? text : "");
	for (; *place; place++)
		if ((unsigned char)*place < 0x20 || *place == 0x7f)
			*place = ' ';
}

/* Copies one step into its row. */
static void take_step(struct row *row, const struct run_step *step)
{
	bool busy = step->status == STEP_BEGUN || step->status == STEP_UNDOING;

	if (row->mark != MARK_BUSY && busy) {
		row->begun_ms = clock_mono_ms();
		row->doing[0] = '\0';
		row->share = -1;
	}
	if (row->mark == MARK_BUSY && !busy)
		row->took_ms = clock_mono_ms() - row->begun_ms;
	row->mark = mark_of(step);
	row->attempt = step->attempts;
	if (!busy)
		put(row->doing, sizeof(row->doing),
			step->status == STEP_DONE              ? ""
				: step->status == STEP_PENDING ? ""
				: step->message                ? step->message
							       : step_status_name(step->status));
}

static void ensure_rows(struct live *live, const struct run *run)
{
	if (live->rows)
		return;
	live->row_count = run->plan->step_count;
	live->rows = calloc(live->row_count + 1, sizeof(*live->rows));
	mem_check(live->rows);
	for (size_t i = 0; i < live->row_count; i++) {
		put(live->rows[i].name, sizeof(live->rows[i].name), run->steps[i].step->id);
		live->rows[i].mark = MARK_NONE;
		live->rows[i].limit_ms = run->steps[i].step->timeout_ms;
	}
}

static void print_plain(struct live *live, const struct run_step *step, const struct entry *entry, const struct row *row)
{
	struct cli *cli = live->cli;

	if (!strcmp(entry->kind, ENTRY_STEP_BEGUN))
		say(cli, "  %-28s %s%s", step->step->id, step->status == STEP_UNDOING ? "taking back" : "started",
			step->attempts > 1 && step->status != STEP_UNDOING ? mem_printf(cli->ctx, " (attempt %d)", step->attempts) : "");
	else
		say(cli, "  %-28s %s (%s)%s%s", step->step->id, step_status_name(step->status),
			text_format_duration(cli->ctx, row->took_ms), step->message && step->status != STEP_DONE ? ": " : "",
			step->message && step->status != STEP_DONE ? step->message : "");
}

static void headline(struct live *live, const struct run *run, const struct entry *entry)
{
	const char *doing = NULL;

	if (!strcmp(entry->kind, ENTRY_RUN_STARTED))
		doing = run->starts > 1 ? "resumed: looking at what the interrupted run left" : "capturing what is there";
	else if (!strcmp(entry->kind, ENTRY_SNAPSHOT_TAKEN))
		doing = "snapshot taken";
	else if (run->restoring)
		doing = "putting everything back";
	if (!doing)
		return;
	if (!live->threaded && strcmp(doing, live->headline) != 0)
		say(live->cli, "%s: %s", run->id, doing);
	put(live->headline, sizeof(live->headline), doing);
}

void live_watch(void *user, const struct run *run, const struct entry *entry, const struct run_step *step, double share,
	const char *message)
{
	struct live *live = ((struct cli *)user)->live;
	size_t index;

	if (!live)
		return;
	pthread_mutex_lock(&live->mutex);
	ensure_rows(live, run);
	if (entry)
		headline(live, run, entry);
	if (step) {
		index = (size_t)(step - run->steps);
		if (entry) {
			take_step(&live->rows[index], step);
			if (!live->threaded && (!strcmp(entry->kind, ENTRY_STEP_BEGUN) || !strcmp(entry->kind, ENTRY_STEP_ENDED)))
				print_plain(live, step, entry, &live->rows[index]);
		} else {
			live->rows[index].share = share;
			if (message)
				put(live->rows[index].doing, sizeof(live->rows[index].doing), message);
		}
	} else if (entry) {
		for (index = 0; index < live->row_count; index++)
			take_step(&live->rows[index], &run->steps[index]);
	}
	pthread_mutex_unlock(&live->mutex);
}

static size_t first_shown(const struct live *live)
{
	size_t active = 0;

	if (live->row_count <= ROWS_MAX)
		return 0;
	while (active < live->row_count && live->rows[active].mark != MARK_BUSY && live->rows[active].mark != MARK_NONE)
		active++;
	return MIN(active > ROWS_MAX / 2 ? active - ROWS_MAX / 2 : 0, live->row_count - ROWS_MAX);
}

/* One row within the terminal's width. Its own memory: the drawing thread must not touch the command line's talloc tree. */
static void draw_row(const struct live *live, const struct row *row, void *ctx)
{
	const struct cli *cli = live->cli;
	char *time = mem_strdup(ctx, "");
	int room;

	if (row->mark == MARK_BUSY)
		time = mem_printf(ctx, "%s / %s", text_format_duration(ctx, (clock_mono_ms() - row->begun_ms) / 100 * 100),
			text_format_duration(ctx, row->limit_ms));
	else if (row->took_ms)
		time = text_format_duration(ctx, row->took_ms);
	room = (int)cli->width - 2 - 30 - 18 - 4;
	fprintf(stderr, "\033[2K %s %-28.28s %-16s  %.*s%s\n", mark_text(cli, row->mark), row->name, time, MAX(room, 0), row->doing,
		row->attempt > 1 && row->mark == MARK_BUSY ? mem_printf(ctx, " (attempt %d)", row->attempt) : "");
}

static void draw(struct live *live)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	size_t first, count;

	if (!live->rows)
		return;
	first = first_shown(live);
	count = MIN(live->row_count, (size_t)ROWS_MAX);
	if (live->drawn)
		fprintf(stderr, "\033[%zuA", live->drawn);
	fprintf(stderr, "\033[2K\033[2m %s\033[0m\n", live->headline);
	for (size_t i = first; i < first + count; i++)
		draw_row(live, &live->rows[i], ctx);
	live->drawn = count + 1;
	fflush(stderr);
}

static void *live_main(void *user)
{
	struct live *live = user;
	struct timespec until;

	pthread_mutex_lock(&live->mutex);
	while (!live->stopping) {
		draw(live);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += FRAME_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&live->wake, &live->mutex, &until);
	}
	draw(live);
	pthread_mutex_unlock(&live->mutex);
	return NULL;
}

struct live *live_start(struct cli *cli)
{
	pthread_condattr_t attributes;
	struct live *live;

	if (cli->json || cli->quiet)
		return NULL;
	live = mem_check(calloc(1, sizeof(*live)));
	live->cli = cli;
	pthread_mutex_init(&live->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&live->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	live->threaded = cli->tty_err && cli->colour && pthread_create(&live->thread, NULL, live_main, live) == 0;
	return live;
}

void live_stop(struct live *live)
{
	if (!live)
		return;
	if (live->threaded) {
		pthread_mutex_lock(&live->mutex);
		live->stopping = true;
		pthread_cond_signal(&live->wake);
		pthread_mutex_unlock(&live->mutex);
		pthread_join(live->thread, NULL);
		live->cli->steps_shown = live->drawn > 0 && live->row_count <= ROWS_MAX;
	}
	pthread_cond_destroy(&live->wake);
	pthread_mutex_destroy(&live->mutex);
	free(live->rows);
	free(live);
}
