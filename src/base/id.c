/* Ids that sort by the time of their making. Within one process the order is strict: in the same millisecond, or when the
 * clock stepped back, the random part of the previous id is counted up instead of drawn anew. A forked child
 * inherits the counter, so a changed pid starts it anew: parent and child must not count up from the same number.
 * Threads: id_new takes a mutex; the others are pure. Format: https://github.com/ulid/spec */
#include "base/id.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

#include "base/clock.h"

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pid_t last_pid;
static int64_t last_ms;
static uint8_t last_random[10];

static void draw(uint8_t random[10])
{
	size_t got = 0;

	while (got < 10) {
		ssize_t n = getrandom(random + got, 10 - got, 0);

		assert_always(n > 0 || errno == EINTR);
		got += n > 0 ? (size_t)n : 0;
	}
}

/* False when all 80 bits were ones. */
static bool count_up(uint8_t random[10])
{
	for (int i = 9; i >= 0; i--)
		if (++random[i] != 0)
			return true;
	return false;
}

char *id_from(const void *ctx, const char *prefix, int64_t wall_ms, const uint8_t random[10])
{
	char text[ID_ULID_LENGTH + 1];
	uint8_t bytes[16];

	for (int i = 0; i < 6; i++)
		bytes[i] = (uint8_t)(wall_ms >> (40 - 8 * i));
	memcpy(bytes + 6, random, 10);

	/* 26 digits of 5 bits are 130 bits: the first digit has only the top 3 of 128. */
	for (int i = 0; i < ID_ULID_LENGTH; i++) {
		int digit = 0;

		for (int bit = i * 5 - 2; bit < i * 5 + 3; bit++)
			digit = digit << 1 | (bit < 0 ? 0 : bytes[bit / 8] >> (7 - bit % 8) & 1);
		text[i] = alphabet[digit];
	}
	text[ID_ULID_LENGTH] = 0;
	return mem_printf(ctx, "%s-%s", prefix, text);
}

char *id_new(const void *ctx, const char *prefix)
{
	int64_t ms = clock_wall_ms();
	uint8_t random[10];
	pid_t pid = getpid();

	(void)pthread_mutex_lock(&mutex);
	if (pid != last_pid || ms > last_ms) {
		last_pid = pid;
		last_ms = ms;
		draw(last_random);
	} else if (!count_up(last_random)) {
		last_ms++;
		draw(last_random);
	}
	ms = last_ms;
	memcpy(random, last_random, sizeof(random));
	(void)pthread_mutex_unlock(&mutex);
	return id_from(ctx, prefix, ms, random);
}

int id_time(const char *id, int64_t *ret_wall_ms, struct err *err)
{
	const char *dash = strrchr(id, '-');
	int64_t ms = 0;

	if (!dash || dash == id || strlen(dash + 1) != ID_ULID_LENGTH || dash[1] > '7')
		return err_set(err, ERR_INVALID, "'%s' is not an id", id);
	for (int i = 0; i < ID_ULID_LENGTH; i++) {
		const char *digit = strchr(alphabet, dash[1 + i]);

		if (!digit)
			return err_set(err, ERR_INVALID, "'%s' is not an id", id);
		if (i < 10)
			ms = ms << 5 | (int64_t)(digit - alphabet);
	}
	*ret_wall_ms = ms;
	return 0;
}
