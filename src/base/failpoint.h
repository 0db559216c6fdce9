/* Named points at which a test can kill the program: FAILPOINT("step.intent_committed") does nothing unless the environment has
 * UNSHIP_FAILPOINT=NAME[:N] and the build has -Dfailpoints=true; then the Nth pass (default 1) ends the process with SIGKILL.
 * UNSHIP_FAILPOINT=list:FILE ends nothing and appends the name of every point that is passed to the file, a line each.
 * Compiled out of release builds. The list of names is in docs/testing.md, checked by a test. */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#ifdef UNSHIP_FAILPOINTS
void failpoint_hit(const char *name);
#define FAILPOINT(name) failpoint_hit(name)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
