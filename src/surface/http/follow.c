/* The follower: see follow.h.
 *
 * One thread with a workspace of its own reads what stands behind the newest entry that it knows, in batches, and calls the subscribers under the lock: so whoever subscribes
 * knows exactly which entry is the last that it will not be handed.
 *
 * On SQLite a write into the write-ahead log is seen (inotify) before the transaction is: the log is synced and its index set only afterwards, and that gives no
 * event. So after such a write the thread looks again after 1, 2, 4... ms, until it is back at its usual pace.
 *
 * Threads: the lock guards the list of subscribers, `head`, and the calls. A subscriber must not subscribe or unsubscribe from inside its call. */
#include "surface/http/follow.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/log.h"
#include "ops/workspace.h"

#define BATCH       256
#define LOOK_MS     200
#define LOOK_MIN_MS 1

struct subscriber {
	follow_each each;
	void *user;
	struct subscriber *next;
};

struct follower {
	pthread_t thread;
	pthread_mutex_t mutex;
	struct subscriber *subscribers; /* oldest first */
	int64_t head;                   /* newest entry that was handed over */
	struct workspace *workspace;    /* the thread's, once it runs */
	int wake_fd, log_fd;            /* log_fd: inotify, -1 where there is no write-ahead log */
	atomic_bool stopping;
	bool failing; /* the store could not be read the last time; said once */
};

static void hand_over(struct follower *follower, const struct entry *entries, size_t count)
{
	(void)pthread_mutex_lock(&follower->mutex);
	for (struct subscriber *at = follower->subscribers; at; at = at->next)
		at->each(at->user, entries, count);
	follower->head = entries[count - 1].seq;
	(void)pthread_mutex_unlock(&follower->mutex);
}

/* All that is new. True when there was something. */
static bool look(struct follower *follower)
{
	struct entry_filter filter = { .after_seq = follower->head, .limit = BATCH };
	bool found = false;
	size_t count;

	do {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct err err = ERR_INIT;
		struct entry *entries;

		if (store_read(follower->workspace->store, ctx, &filter, &entries, &count, &err) < 0) {
			if (!follower->failing)
				log_event(LOG_WARN, "the journal cannot be followed, trying again", "error", err.text, NULL);
			follower->failing = true;
			return found;
		}
		if (follower->failing)
			log_event(LOG_INFO, "the journal is followed again", NULL);
		follower->failing = false;
		if (count > 0) {
			hand_over(follower, entries, count);
			filter.after_seq = entries[count - 1].seq;
			found = true;
		}
	} while (count == BATCH && !atomic_load(&follower->stopping));
	return found;
}

static bool drain(int fd)
{
	char bytes[4096];
	bool any = false;

	while (read(fd, bytes, sizeof(bytes)) > 0)
		any = true;
	return any;
}

static void *follower_main(void *user)
{
	struct follower *follower = user;
	struct pollfd fds[] = { { .fd = follower->wake_fd, .events = POLLIN }, { .fd = follower->log_fd, .events = POLLIN } };
	int pause_ms = LOOK_MS;

	while (!atomic_load(&follower->stopping)) {
		if (poll(fds, ARRAY_SIZE(fds), pause_ms) < 0 && errno != EINTR)
			log_event(LOG_ERROR, "waiting for the journal failed", NULL);
		pause_ms = MIN(pause_ms * 2, LOOK_MS);
		(void)drain(follower->wake_fd);
		if (follower->log_fd >= 0 && drain(follower->log_fd))
			pause_ms = LOOK_MIN_MS;
		if (!atomic_load(&follower->stopping))
			(void)look(follower);
	}
	return NULL;
}

/* -1 without a log: nothing is lost, entries of other processes are only seen a little later. */
static int watch_log(const struct workspace *workspace)
{
	_cleanup_talloc_ char *path = mem_printf(NULL, "%s-wal", workspace->places.store);
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0) {
		log_event(LOG_DEBUG, "the write-ahead log cannot be watched", "path", path, NULL);
		return -1;
	}
	return take_fd(fd);
}

static int follower_free(struct follower *follower)
{
	if (follower->wake_fd >= 0)
		(void)close(follower->wake_fd);
	if (follower->log_fd >= 0)
		(void)close(follower->log_fd);
	(void)pthread_mutex_destroy(&follower->mutex);
	return 0;
}

static int follower_start(struct server *server, void **ret_state, struct err *err)
{
	struct follower *follower = mem_zero(NULL, struct follower);
	int r;

	(void)pthread_mutex_init(&follower->mutex, NULL);
	follower->wake_fd = follower->log_fd = -1;
	talloc_set_destructor(follower, follower_free);
	r = server_workspace(server, follower, &follower->workspace, err);
	if (r == 0)
		r = workspace_store(follower->workspace, err);
	if (r == 0)
		r = store_head(follower->workspace->store, &follower->head, err);
	if (r == 0) {
		follower->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (follower->wake_fd < 0)
			r = err_errno(err, errno, "eventfd");
	}
	if (r == 0) {
		follower->log_fd = watch_log(follower->workspace);
		r = pthread_create(&follower->thread, NULL, follower_main, follower);
		if (r != 0)
			r = err_errno(err, r, "a thread");
	}
	if (r < 0) {
		(void)talloc_free(follower);
		return err_in(err, "following the journal");
	}
	server->follower = follower;
	*ret_state = follower;
	return 0;
}

static void follower_stop(struct server *server, void *state)
{
	struct follower *follower = state;

	server->follower = NULL;
	atomic_store(&follower->stopping, true);
	follower_wake(follower);
	(void)pthread_join(follower->thread, NULL);
	(void)talloc_free(follower);
}

const struct service follower_service = { .name = "follower", .start = follower_start, .stop = follower_stop };

void follower_subscribe(struct follower *follower, follow_each each, void *user, int64_t *ret_head)
{
	struct subscriber **at = &follower->subscribers;

	(void)pthread_mutex_lock(&follower->mutex);
	while (*at)
		at = &(*at)->next;
	*at = mem_zero(NULL, struct subscriber);
	**at = (struct subscriber){ .each = each, .user = user };
	*ret_head = follower->head;
	(void)pthread_mutex_unlock(&follower->mutex);
}

void follower_unsubscribe(struct follower *follower, follow_each each, void *user)
{
	struct subscriber **at = &follower->subscribers;

	(void)pthread_mutex_lock(&follower->mutex);
	while (*at && ((*at)->each != each || (*at)->user != user))
		at = &(*at)->next;
	if (*at) {
		struct subscriber *gone = *at;

		*at = gone->next;
		(void)talloc_free(gone);
	}
	(void)pthread_mutex_unlock(&follower->mutex);
}

void follower_wake(struct follower *follower)
{
	uint64_t one = 1;

	/* It only fails when the counter is full, and then the thread is awake anyway. */
	if (write(follower->wake_fd, &one, sizeof(one)) < 0)
		return;
}
