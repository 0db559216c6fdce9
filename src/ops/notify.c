/* The notifier: one thread, its own workspace. Loop: read the outbox, deliver each pending recipient through the channel's worker, append what came of it.
 * Back-off per notification is in the outbox (not_before_ms); after NOTIFY_ATTEMPTS a recipient is given up, which is an entry too.
 *
 * Threads: notifier_start and notifier_stop from the owner; the struct is guarded by its mutex. */
#include "ops/notify.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "data/json.h"

#define NOTIFY_ATTEMPTS     8
#define NOTIFY_BATCH        20
#define NOTIFY_LOOK_MS      200
#define DELIVERY_TIMEOUT_MS 10000
#define NOTIFY_PATIENCE_MS  5000

struct notifier {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool stopping;
	int64_t stop_by_ms;
	size_t left;
	char *dir;
	const struct catalogue *catalogue;
};

static bool rule_matches(const struct notify_rule *rule, const char *event)
{
	for (const char **on = rule->on; on && *on; on++)
		if (!strcmp(*on, event))
			return true;
	return false;
}

void notify_entries(const void *ctx, const struct environment *environment, const char *event, const char *run_id, const char *actor,
	const char *message, json_t *details, struct entry **list, size_t *count)
{
	notify_about(ctx, environment, event, run_id, run_id, actor, message, details, list, count);
}

void notify_about(const void *ctx, const struct environment *environment, const char *event, const char *about, const char *run_id,
	const char *actor, const char *message, json_t *details, struct entry **list, size_t *count)
{
	for (size_t i = 0; i < environment->notify_count; i++) {
		const struct notify_rule *rule = &environment->notify[i];
		json_t *recipients;

		if (!rule_matches(rule, event))
			continue;
		recipients = json_keep(ctx, json_array());
		for (const char **recipient = rule->recipients; recipient && *recipient; recipient++)
			json_array_append_new(recipients, json_string(*recipient));
		*list = mem_resize(ctx, *list, struct entry, *count + 1);
		(*list)[(*count)++] = (struct entry){
			.kind = ENTRY_NOTIFICATION_QUEUED,
			.environment = environment->name,
			.run = run_id,
			.actor = actor,
			.data = json_make(ctx, "{s:s, s:s, s:s, s:O, s:s, s:O*, s:i}", "notification",
				mem_printf(ctx, "ntf-%s-%s-%zu", about, event, i), "event", event, "channel", rule->channel, "recipients",
				recipients, "message", message, "details", details, "rule", (int)i),
		};
	}
}

/* Settings of the channel: those of the rule that queued it; a step of a plan has none. */
static json_t *channel_settings(struct workspace *workspace, const struct notification *notification)
{
	struct environment *environment = notification->environment ? project_environment(workspace->project, notification->environment)
								    : NULL;

	for (size_t i = 0; environment && i < environment->notify_count; i++)
		if (!strcmp(environment->notify[i].channel, notification->channel))
			return environment->notify[i].config;
	return NULL;
}

static int deliver(struct workspace *workspace, const void *ctx, const struct notification *notification, const char *recipient,
	struct err *err)
{
	struct work_result result;
	struct work work = {
		.kind = WORKER_CHANNEL,
		.name = notification->channel,
		.deadline_ms = clock_mono_ms() + DELIVERY_TIMEOUT_MS,
	};

	work.request = json_make(ctx, "{s:s, s:i, s:O*, s:s, s:s, s:I, s:s, s:{s:s, s:s, s:s, s:O*, s:s*, s:s*, s:I}}", "verb", "deliver",
		"protocol", DRIVER_PROTOCOL_VERSION, "config", channel_settings(workspace, notification), "projectDir",
		workspace->places.project_dir, "stateDir", workspace->places.state_dir, "deadlineMs", (json_int_t)DELIVERY_TIMEOUT_MS,
		"recipient", recipient, "message", "id", notification->id, "event", notification->event, "text", notification->message,
		"details", notification->details, "environment", notification->environment, "runId", notification->run, "timestampMs",
		(json_int_t)notification->queued_ms);
	return executor_call(workspace->executor, ctx, &work, &result, err);
}

static int record_delivery(struct workspace *workspace, const void *ctx, const struct notification *notification, const char *recipient,
	int r, const struct err *why, struct err *err)
{
	bool final = r < 0 &&
		(notification->attempts + 1 >= NOTIFY_ATTEMPTS || r == -ERR_INVALID || r == -ERR_UNSUPPORTED || r == -ERR_REFUSED);
	struct entry entry = {
		.kind = r < 0 ? ENTRY_NOTIFICATION_FAILED : ENTRY_NOTIFICATION_DELIVERED,
		.environment = notification->environment,
		.run = notification->run,
		.actor = "unship",
		.data = json_make(ctx, "{s:s, s:s, s:i}", "notification", notification->id, "recipient", recipient, "attempt",
			notification->attempts + 1),
	};

	if (r < 0) {
		json_put_str(entry.data, "message", why->text);
		json_put_flag(entry.data, "final", final);
	}
	return store_append(workspace->store, ctx, &entry, err);
}

/* One round over the outbox. *ret_left: recipients that are still waiting, due now or later. */
static int deliver_round(struct workspace *workspace, size_t *ret_left, struct err *err)
{
	void *ctx = mem_context(workspace);
	struct notification *pending;
	size_t count;
	int r;

	*ret_left = 0;
	r = store_notifications_pending(workspace->store, ctx, clock_wall_ms(), NOTIFY_BATCH, &pending, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		json_t *recipient;
		size_t index;

		json_array_foreach(pending[i].pending, index, recipient) {
			struct err why = ERR_INIT;
			int delivered = deliver(workspace, ctx, &pending[i], json_string_value(recipient), &why);

			*ret_left += delivered < 0;
			r = record_delivery(workspace, ctx, &pending[i], json_string_value(recipient), delivered, &why, err);
			if (r < 0)
				break;
		}
	}
	talloc_free(ctx);
	return r;
}

static bool wait_for_more(struct notifier *notifier, size_t left)
{
	struct timespec until;
	bool go_on;

	pthread_mutex_lock(&notifier->mutex);
	notifier->left = left;
	if (!notifier->stopping || left) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += NOTIFY_LOOK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&notifier->wake, &notifier->mutex, &until);
	}
	go_on = !notifier->stopping || (left && clock_mono_ms() < notifier->stop_by_ms);
	pthread_mutex_unlock(&notifier->mutex);
	return go_on;
}

static void *notifier_main(void *user)
{
	struct notifier *notifier = user;
	struct workspace *workspace = NULL;
	struct err err = ERR_INIT;
	size_t left = 0;
	int r;

	r = workspace_open(NULL, notifier->dir, notifier->catalogue, &workspace, &err);
	if (r == 0)
		r = workspace_store(workspace, &err);
	while (r == 0) {
		bool go_on = wait_for_more(notifier, left);

		r = deliver_round(workspace, &left, &err);
		if (!go_on)
			break;
	}
	pthread_mutex_lock(&notifier->mutex);
	notifier->left = left;
	pthread_mutex_unlock(&notifier->mutex);
	if (r < 0) {
		err_in(&err, "notifications wait in the outbox");
		log_err(LOG_WARN, &err);
	}
	talloc_free(workspace);
	return NULL;
}

int notifier_start(const void *ctx, const char *dir, const struct catalogue *catalogue, struct notifier **ret, struct err *err)
{
	struct notifier *notifier = mem_zero(ctx, struct notifier);
	pthread_condattr_t attributes;
	int r;

	notifier->dir = mem_strdup(notifier, dir);
	notifier->catalogue = catalogue;
	pthread_mutex_init(&notifier->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&notifier->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	r = pthread_create(&notifier->thread, NULL, notifier_main, notifier);
	if (r != 0) {
		talloc_free(notifier);
		return err_errno(err, r, "starting the notifier");
	}
	*ret = notifier;
	return 0;
}

size_t notifier_stop(struct notifier *notifier, int64_t patience_ms)
{
	size_t left;

	pthread_mutex_lock(&notifier->mutex);
	notifier->stopping = true;
	notifier->stop_by_ms = clock_mono_ms() + patience_ms;
	pthread_cond_signal(&notifier->wake);
	pthread_mutex_unlock(&notifier->mutex);
	pthread_join(notifier->thread, NULL);
	left = notifier->left;
	pthread_cond_destroy(&notifier->wake);
	pthread_mutex_destroy(&notifier->mutex);
	talloc_free(notifier);
	return left;
}

void notify_now(struct op *op, const struct environment *environment)
{
	struct notifier *notifier;
	struct err err = ERR_INIT;

	if (op->hand_over || !environment->notify_count)
		return;
	if (notifier_start(NULL, op->workspace->dir, op->catalogue, &notifier, &err) < 0) {
		err_in(&err, "notifications wait in the outbox");
		log_err(LOG_WARN, &err);
		return;
	}
	(void)notifier_stop(notifier, NOTIFY_PATIENCE_MS);
}
