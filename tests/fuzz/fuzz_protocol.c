/* The driver protocol, as the runner reads it: whatever a driver prints, in pieces of any size. The reader is private to its file, which is therefore taken in whole. */
#include "runner/process_executor.c" /* NOLINT(bugprone-suspicious-include) */

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_setup();
	return 0;
}

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct process_executor *pe = mem_zero(ctx, struct process_executor);
	struct job *job = mem_zero(ctx, struct job);
	size_t piece, at = 1;

	if (size == 0)
		return 0;
	piece = (size_t)bytes[0] + 1;
	job->logs = json_keep(job, json_array());
	job->external = bytes[0] & 1;
	job->stage = STAGE_KILLED; /* there is no child to be ended */
	for (; at < size; at += piece)
		take_bytes(pe, job, (const char *)bytes + at, MIN(piece, size - at));
	assert_always(!job->failed || *job->err.text);
	assert_always(!job->answered || job->from_worker || job->failed || json_is_object(job->result));
	assert_always(json_array_size(job->logs) <= LOGS_MAX);
	return 0;
}
