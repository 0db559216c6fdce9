/* Shapes of answers (answers.h): data only. What an operation answers is checked against its shape in test builds (operations.c), and told in the OpenAPI document. */
#include "ops/answers.h"

#include "ops/page.h"

#define SEVERITIES "info|warning|error"
#define HEALTHS    "passing|failing|unknown"

/* clang-format off */

/* --- parts --------------------------------------------------------------------------------------------------------- */

static const struct shape which_shape[] = {
	SHAPE_STR ("deploymentId", ALWAYS, "id of the deployment"),
	SHAPE_STR ("version", ALWAYS, "its version"),
	SHAPE_TIME("timestamp", SOMETIMES, "when it was recorded"),
	SHAPE_END
};
static const struct shape finding_shape[] = {
	SHAPE_STR   ("name", ALWAYS, "name of the check"),
	SHAPE_BOOL  ("passed", ALWAYS, "nothing speaks against it"),
	SHAPE_CHOICE("severity", ALWAYS, SEVERITIES, "an error blocks"),
	SHAPE_STR   ("component", SOMETIMES, "component that it is about"),
	SHAPE_STR   ("message", SOMETIMES, "in words"),
	SHAPE_ANY   ("evidence", SOMETIMES, "what was seen"),
	SHAPE_END
};
static const struct shape difference_shape[] = {
	SHAPE_STR ("component", ALWAYS, "name of the component"),
	SHAPE_STR ("kind", ALWAYS, "kind of its driver"),
	SHAPE_BOOL("changes", ALWAYS, "would it be changed?"),
	SHAPE_STR ("from", SOMETIMES, "version that is there"),
	SHAPE_STR ("to", SOMETIMES, "version that would be there"),
	SHAPE_STR ("note", SOMETIMES, "in words"),
	SHAPE_ANY ("items", SOMETIMES, "parts that differ, as the driver tells them"),
	SHAPE_END
};
static const struct shape between_commit_shape[] = {
	SHAPE_STR ("sha", ALWAYS, "of the commit"),
	SHAPE_STR ("subject", SOMETIMES, "first line of its message"),
	SHAPE_STR ("author", SOMETIMES, "who wrote it"),
	SHAPE_TIME("date", SOMETIMES, "when"),
	SHAPE_END
};
static const struct shape between_shape[] = {
	SHAPE_INT ("count", ALWAYS, "how many commits"),
	SHAPE_LIST("commits", ALWAYS, between_commit_shape, "newest first"),
	SHAPE_INT ("more", ALWAYS, "how many are not listed"),
	SHAPE_END
};
static const struct shape between_files_shape[] = {
	SHAPE_INT    ("count", ALWAYS, "how many files differ"),
	SHAPE_STRINGS("names", ALWAYS, "the first of them"),
	SHAPE_INT    ("more", ALWAYS, "how many are not named"),
	SHAPE_END
};
static const struct shape code_difference_shape[] = {
	SHAPE_STR   ("component", ALWAYS, "name of the component"),
	SHAPE_BOOL  ("returns", ALWAYS, "would it be taken back?"),
	SHAPE_STR   ("from", SOMETIMES, "version that is there"),
	SHAPE_STR   ("to", SOMETIMES, "version of the target"),
	SHAPE_STR   ("fromCommit", SOMETIMES, "commit that is there"),
	SHAPE_STR   ("toCommit", SOMETIMES, "commit of the target"),
	SHAPE_OBJECT("removed", SOMETIMES, between_shape, "commits that would be taken out"),
	SHAPE_OBJECT("added", SOMETIMES, between_shape, "commits that would come back"),
	SHAPE_OBJECT("files", SOMETIMES, between_files_shape, "files that differ"),
	SHAPE_STR   ("unknown", SOMETIMES, "why the commits cannot be told"),
	SHAPE_END
};
static const struct shape config_key_shape[] = {
	SHAPE_STR   ("key", ALWAYS, "name of the key; values are never shown"),
	SHAPE_CHOICE("change", ALWAYS, "added|removed|type|value", "what the rollback does to it"),
	SHAPE_STR   ("from", SOMETIMES, "its type now"),
	SHAPE_STR   ("to", SOMETIMES, "its type with the target"),
	SHAPE_END
};
static const struct shape config_difference_shape[] = {
	SHAPE_STR ("component", ALWAYS, "name of the component"),
	SHAPE_BOOL("returns", ALWAYS, "would it be taken back?"),
	SHAPE_BOOL("differs", ALWAYS, "is the content another one?"),
	SHAPE_BOOL("valuesCompared", ALWAYS, "did the driver compare the values of keys that both have?"),
	SHAPE_LIST("keys", ALWAYS, config_key_shape, "keys that differ"),
	SHAPE_INT ("more", ALWAYS, "how many are not listed"),
	SHAPE_END
};
static const struct shape flag_difference_shape[] = {
	SHAPE_STR ("component", ALWAYS, "name of the component"),
	SHAPE_STR ("flag", ALWAYS, "its key"),
	SHAPE_ANY ("from", SOMETIMES, "its state now"),
	SHAPE_ANY ("to", SOMETIMES, "its state with the target"),
	SHAPE_BOOL("returns", ALWAYS, "would it be set back?"),
	SHAPE_END
};
static const struct shape schema_change_shape[] = {
	SHAPE_STR   ("name", ALWAYS, "table, or table.column"),
	SHAPE_CHOICE("change", ALWAYS, "added|removed|changed", "from now to the target"),
	SHAPE_ANY   ("from", SOMETIMES, "as it is now"),
	SHAPE_ANY   ("to", SOMETIMES, "as it was with the target"),
	SHAPE_END
};
static const struct shape schema_difference_shape[] = {
	SHAPE_STR ("component", ALWAYS, "name of the component"),
	SHAPE_BOOL("returns", ALWAYS, "would it be taken back?"),
	SHAPE_LIST("changes", ALWAYS, schema_change_shape, "what differs"),
	SHAPE_INT ("more", ALWAYS, "how much is not listed"),
	SHAPE_END
};
static const struct shape table_rows_shape[] = {
	SHAPE_STR("table", ALWAYS, "its name"),
	SHAPE_INT("rows", ALWAYS, "how many rows it has now"),
	SHAPE_INT("recordedRows", SOMETIMES, "how many it had when the target was recorded"),
	SHAPE_END
};
static const struct shape data_difference_shape[] = {
	SHAPE_STR ("component", ALWAYS, "name of the component"),
	SHAPE_BOOL("returns", ALWAYS, "would it be taken back?"),
	SHAPE_LIST("tables", ALWAYS, table_rows_shape, "counted now"),
	SHAPE_INT ("more", ALWAYS, "how many tables are not listed"),
	SHAPE_TIME("recordedAt", ALWAYS, "when the target was recorded: where the data would go back to"),
	SHAPE_END
};
static const struct shape contract_difference_shape[] = {
	SHAPE_STR   ("component", ALWAYS, "name of the component whose code holds it"),
	SHAPE_CHOICE("change", ALWAYS, "added|removed|changed", "from now to the target"),
	SHAPE_STR   ("path", ALWAYS, "file in the repository"),
	SHAPE_STR   ("name", SOMETIMES, "of the contract"),
	SHAPE_STR   ("fromAbi", SOMETIMES, "hash of its interface now"),
	SHAPE_STR   ("toAbi", SOMETIMES, "hash of its interface with the target"),
	SHAPE_END
};
static const struct shape newest_snapshot_shape[] = {
	SHAPE_STR ("id", ALWAYS, "of the snapshot"),
	SHAPE_TIME("takenAt", ALWAYS, "when"),
	SHAPE_INT ("ageMs", ALWAYS, "how old it is"),
	SHAPE_END
};
static const struct shape whole_difference_shape[] = {
	SHAPE_STRINGS("willChange", ALWAYS, "in words"),
	SHAPE_STRINGS("notReverted", ALWAYS, "what stays as it is, in words"),
	SHAPE_STRINGS("willBeLost", ALWAYS, "what cannot be had back by itself, in words"),
	SHAPE_LIST   ("code", ALWAYS, code_difference_shape, "by component"),
	SHAPE_LIST   ("config", ALWAYS, config_difference_shape, "by component"),
	SHAPE_LIST   ("flags", ALWAYS, flag_difference_shape, "by flag"),
	SHAPE_LIST   ("schema", ALWAYS, schema_difference_shape, "by component"),
	SHAPE_LIST   ("data", ALWAYS, data_difference_shape, "by component"),
	SHAPE_LIST   ("contracts", ALWAYS, contract_difference_shape, "by file"),
	SHAPE_OBJECT ("newestSnapshot", SOMETIMES, newest_snapshot_shape, "of this environment"),
	SHAPE_END
};
static const struct shape probe_shape[] = {
	SHAPE_STR("name", ALWAYS, "name of the probe"),
	SHAPE_STR("type", ALWAYS, "its type"),
	SHAPE_STR("component", SOMETIMES, "component whose health it tells"),
	SHAPE_STR("status", ALWAYS, "pass, warn or fail"),
	SHAPE_STR("message", SOMETIMES, "in words"),
	SHAPE_ANY("details", SOMETIMES, "what was measured"),
	SHAPE_INT("durationMs", SOMETIMES, "how long it took"),
	SHAPE_END
};

#define DEPLOYMENT_MEMBERS \
	SHAPE_STR   ("id", ALWAYS, "of the deployment"), \
	SHAPE_STR   ("environment", ALWAYS, "where"), \
	SHAPE_STR   ("version", ALWAYS, "version of the whole"), \
	SHAPE_STR   ("gitSha", SOMETIMES, "commit that it was made from"), \
	SHAPE_INT   ("seq", ALWAYS, "entry of the journal that recorded it"), \
	SHAPE_TIME  ("recordedAt", SOMETIMES, "when"), \
	SHAPE_STR   ("recordedBy", SOMETIMES, "who"), \
	SHAPE_STR   ("migration", SOMETIMES, "database migration"), \
	SHAPE_STR   ("configVersion", SOMETIMES, "version of the configuration"), \
	SHAPE_CHOICE("health", ALWAYS, HEALTHS, "the latest evidence"), \
	SHAPE_INT   ("passing", ALWAYS, "how many health checks passed"), \
	SHAPE_INT   ("failing", ALWAYS, "how many failed"), \
	SHAPE_TIME  ("healthAt", SOMETIMES, "when the latest evidence came"), \
	SHAPE_BOOL  ("rollbackTarget", ALWAYS, "marked by a person as a target"), \
	SHAPE_CHOICE("status", ALWAYS, "succeeded|failed|rolled-back", "of the deployment itself"), \
	SHAPE_STR   ("quarantine", SOMETIMES, "why it is in quarantine"), \
	SHAPE_STR   ("rollbackOf", SOMETIMES, "run that led to it")

static const struct shape candidate_shape[] = {
	DEPLOYMENT_MEMBERS,
	SHAPE_BOOL("eligible", ALWAYS, "can it be returned to?"),
	SHAPE_BOOL("lastStable", ALWAYS, "is it the last stable one?"),
	SHAPE_STR ("why", SOMETIMES, "why, or why not"),
	SHAPE_END
};

/* --- runs ---------------------------------------------------------------------------------------------------------- */

static const struct shape step_shape[] = {
	SHAPE_STR ("stepId", ALWAYS, "of the step"),
	SHAPE_STR ("name", SOMETIMES, "for people"),
	SHAPE_STR ("type", ALWAYS, "type of the step"),
	SHAPE_STR ("subject", SOMETIMES, "what it acts on"),
	SHAPE_STR ("status", ALWAYS, "how far it is"),
	SHAPE_TIME("startTime", SOMETIMES, "when it began"),
	SHAPE_TIME("endTime", SOMETIMES, "when it ended"),
	SHAPE_INT ("attempts", ALWAYS, "how often it was tried"),
	SHAPE_INT ("undoAttempts", SOMETIMES, "how often it was tried to take it back"),
	SHAPE_STR ("error", SOMETIMES, "why it failed"),
	SHAPE_STR ("code", SOMETIMES, "the same for machines"),
	SHAPE_ANY ("outputs", SOMETIMES, "what it gave to later steps"),
	SHAPE_ANY ("logs", ALWAYS, "what it said"),
	SHAPE_END
};
static const struct shape waiting_shape[] = {
	SHAPE_STR   ("step", ALWAYS, "the step"),
	SHAPE_CHOICE("question", ALWAYS, "unknown|approval", "what is asked"),
	SHAPE_END
};
static const struct shape folded_run_shape[] = {
	SHAPE_STR   ("id", ALWAYS, "of the run"),
	SHAPE_STR   ("planId", ALWAYS, "of the plan"),
	SHAPE_STR   ("environment", ALWAYS, "where"),
	SHAPE_STR   ("status", ALWAYS, "how far it is"),
	SHAPE_TIME  ("requestedTime", SOMETIMES, "when it was requested"),
	SHAPE_TIME  ("startTime", SOMETIMES, "when it was begun"),
	SHAPE_TIME  ("endTime", SOMETIMES, "when it ended"),
	SHAPE_STR   ("from", SOMETIMES, "deployment that it leaves"),
	SHAPE_STR   ("to", SOMETIMES, "deployment that it returns to"),
	SHAPE_STR   ("undoOf", SOMETIMES, "run that it takes back"),
	SHAPE_STR   ("actor", SOMETIMES, "who requested it"),
	SHAPE_STR   ("reason", SOMETIMES, "why"),
	SHAPE_ANY   ("context", SOMETIMES, "what templates of the plan may use"),
	SHAPE_LIST  ("steps", ALWAYS, step_shape, "in their order"),
	SHAPE_STR   ("currentStep", SOMETIMES, "the step that is worked on or waited for"),
	SHAPE_INT   ("stepsCompleted", ALWAYS, "how many are done"),
	SHAPE_INT   ("stepsTotal", ALWAYS, "how many there are"),
	SHAPE_BOOL  ("cancelled", ALWAYS, "somebody asked to stop it"),
	SHAPE_BOOL  ("restoring", ALWAYS, "it is being taken back"),
	SHAPE_BOOL  ("changed", ALWAYS, "something was changed"),
	SHAPE_STR   ("error", SOMETIMES, "why it failed"),
	SHAPE_STR   ("code", SOMETIMES, "the same for machines"),
	SHAPE_STR   ("failedStep", SOMETIMES, "the step that failed"),
	SHAPE_OBJECT("waiting", SOMETIMES, waiting_shape, "what a person is asked"),
	SHAPE_END
};
static const struct shape run_summary_shape[] = {
	SHAPE_INT ("servicesRolledBack", ALWAYS, "components that were taken back"),
	SHAPE_REAL("duration", ALWAYS, "seconds since the request"),
	SHAPE_BOOL("dataPreserved", ALWAYS, "databases were left as they are"),
	SHAPE_END
};
static const struct shape validation_shape[] = {
	SHAPE_BOOL("healthChecks", ALWAYS, "probes passed"),
	SHAPE_BOOL("configValid", ALWAYS, "configuration is as it should be"),
	SHAPE_INT ("servicesRunning", ALWAYS, "components that run"),
	SHAPE_END
};
static const struct shape quarantined_shape[] = {
	SHAPE_STR   ("deploymentId", ALWAYS, "of the deployment"),
	SHAPE_STR   ("version", ALWAYS, "its version"),
	SHAPE_STR   ("reason", ALWAYS, "why"),
	SHAPE_CHOICE("health", ALWAYS, HEALTHS, "its latest evidence"),
	SHAPE_STR   ("lift", ALWAYS, "the command that lifts it"),
	SHAPE_BOOL  ("lifted", ALWAYS, "it was lifted"),
	SHAPE_END
};
static const struct shape left_behind_shape[] = {
	SHAPE_STR("step", ALWAYS, "the step"),
	SHAPE_STR("status", ALWAYS, "how it stands"),
	SHAPE_STR("why", SOMETIMES, "why it could not be taken back"),
	SHAPE_END
};
static const struct shape phase_shape[] = {
	SHAPE_STR ("name", ALWAYS, "of the phase"),
	SHAPE_INT ("ms", ALWAYS, "how long it took"),
	SHAPE_INT ("objectiveMs", SOMETIMES, "how long it may take"),
	SHAPE_BOOL("met", SOMETIMES, "was it met?"),
	SHAPE_END
};

#define PLANNING_MEMBERS \
	SHAPE_OBJECT("present", SOMETIMES, which_shape, "what runs there by the registry"), \
	SHAPE_OBJECT("target", SOMETIMES, which_shape, "what would be returned to"), \
	SHAPE_LIST  ("candidates", SOMETIMES, candidate_shape, "deployments, best first"), \
	SHAPE_LIST  ("differences", SOMETIMES, difference_shape, "by component"), \
	SHAPE_OBJECT("difference", SOMETIMES, whole_difference_shape, "code, configuration, flags, schema, data and contracts: what changes, stays, is lost"), \
	SHAPE_STRINGS("overrides", SOMETIMES, "names of the findings that `force` overrides"), \
	SHAPE_ANY   ("plan", SOMETIMES, "the plan, in the form of a plan file"), \
	SHAPE_STR   ("planHash", SOMETIMES, "of plan and observed state: what is agreed to"), \
	SHAPE_LIST  ("findings", SOMETIMES, finding_shape, "what was checked"), \
	SHAPE_INT   ("blocking", SOMETIMES, "how many findings block it"), \
	SHAPE_STRINGS("notReverted", SOMETIMES, "what the plan leaves as it is")

const struct shape planning_shape[] = {
	SHAPE_STR   ("environment", ALWAYS, "where"),
	PLANNING_MEMBERS,
	SHAPE_END
};
const struct shape run_shape[] = {
	SHAPE_STR   ("environment", SOMETIMES, "where"),
	PLANNING_MEMBERS,
	SHAPE_STR   ("undoOf", SOMETIMES, "run that would be taken back"),
	SHAPE_BOOL  ("dryRun", SOMETIMES, "nothing was changed"),
	SHAPE_LIST  ("probes", SOMETIMES, probe_shape, "health, where there was nothing to do"),
	SHAPE_STR   ("waitsFor", SOMETIMES, "approval: nothing was begun; others have to agree first"),
	SHAPE_OBJECT("approval", SOMETIMES, approval_shape, "what they have to agree to"),
	SHAPE_ANY   ("result", SOMETIMES, "what was carried out because people agreed: the answer of that operation"),
	SHAPE_BOOL  ("success", SOMETIMES, "the run completed"),
	SHAPE_STR   ("rollbackId", SOMETIMES, "of the run"),
	SHAPE_TIME  ("timestamp", SOMETIMES, "when it was requested"),
	SHAPE_STR   ("status", SOMETIMES, "how far it is"),
	SHAPE_OBJECT("rolledBackTo", SOMETIMES, which_shape, "what runs now"),
	SHAPE_OBJECT("summary", SOMETIMES, run_summary_shape, "in numbers"),
	SHAPE_OBJECT("validation", SOMETIMES, validation_shape, "what was verified"),
	SHAPE_BOOL  ("carriedOut", SOMETIMES, "somebody carries it out at the moment"),
	SHAPE_STR   ("holder", SOMETIMES, "who does"),
	SHAPE_STRINGS("warnings", SOMETIMES, "what was known against it"),
	SHAPE_OBJECT("quarantined", SOMETIMES, quarantined_shape, "what its end put into quarantine"),
	SHAPE_LIST  ("leftBehind", SOMETIMES, left_behind_shape, "what is not as it was before"),
	SHAPE_STR   ("reason", SOMETIMES, "why it was requested"),
	SHAPE_STR   ("message", SOMETIMES, "why it failed"),
	SHAPE_STR   ("code", SOMETIMES, "the same for machines"),
	SHAPE_LIST  ("phases", SOMETIMES, phase_shape, "how long what took"),
	SHAPE_STR   ("next", SOMETIMES, "what can be done next"),
	SHAPE_OBJECT("run", SOMETIMES, folded_run_shape, "the run with its steps"),
	SHAPE_END
};

static const struct shape run_row_shape[] = {
	SHAPE_STR ("id", ALWAYS, "of the run"),
	SHAPE_STR ("environment", ALWAYS, "where"),
	SHAPE_STR ("status", ALWAYS, "how far it is"),
	SHAPE_TIME("requestedAt", ALWAYS, "when"),
	SHAPE_STR ("planId", SOMETIMES, "of the plan"),
	SHAPE_STR ("from", SOMETIMES, "deployment that it leaves"),
	SHAPE_STR ("to", SOMETIMES, "deployment that it returns to"),
	SHAPE_STR ("reason", SOMETIMES, "why"),
	SHAPE_STR ("actor", SOMETIMES, "who"),
	SHAPE_STR ("message", SOMETIMES, "why it failed"),
	SHAPE_STR ("undoOf", SOMETIMES, "run that it takes back"),
	SHAPE_BOOL("changed", SOMETIMES, "something was changed"),
	SHAPE_BOOL("carriedOut", SOMETIMES, "somebody carries it out at the moment"),
	SHAPE_STR ("holder", SOMETIMES, "who does"),
	SHAPE_TIME("endedAt", SOMETIMES, "when it ended"),
	SHAPE_INT ("durationMs", SOMETIMES, "how long it took"),
	SHAPE_END
};
const struct shape run_list_shape[] = {
	SHAPE_LIST("runs", ALWAYS, run_row_shape, "newest first"),
	SHAPE_NEXT,
	SHAPE_END
};
static const struct shape sums_shape[] = {
	SHAPE_INT("runs", ALWAYS, "how many are listed"),
	SHAPE_INT("completed", ALWAYS, "of these completed"),
	SHAPE_INT("restored", ALWAYS, "of these failed and were put back"),
	SHAPE_INT("failed", ALWAYS, "of these failed and were not"),
	SHAPE_INT("medianMs", SOMETIMES, "median duration"),
	SHAPE_INT("longestMs", SOMETIMES, "longest duration"),
	SHAPE_END
};
const struct shape history_shape[] = {
	SHAPE_LIST  ("runs", ALWAYS, run_row_shape, "newest first"),
	SHAPE_OBJECT("summary", ALWAYS, sums_shape, "of those that are listed"),
	SHAPE_NEXT,
	SHAPE_END
};

/* --- plans, deployments, health ------------------------------------------------------------------------------------ */

static const struct shape problem_shape[] = {
	SHAPE_STR("code", ALWAYS, "the kind of problem"),
	SHAPE_STR("path", SOMETIMES, "place in the document"),
	SHAPE_INT("line", SOMETIMES, "place in the file"),
	SHAPE_INT("column", SOMETIMES, "place in the file"),
	SHAPE_STR("message", ALWAYS, "in words"),
	SHAPE_STR("severity", SOMETIMES, "error or warning"),
	SHAPE_END
};
const struct shape plan_check_shape[] = {
	SHAPE_STR ("file", ALWAYS, "what was checked"),
	SHAPE_BOOL("valid", ALWAYS, "nothing is wrong with it"),
	SHAPE_STR ("id", SOMETIMES, "of the plan"),
	SHAPE_INT ("steps", ALWAYS, "how many it has"),
	SHAPE_LIST("problems", ALWAYS, problem_shape, "what is wrong"),
	SHAPE_END
};
const struct shape runbook_shape[] = {
	SHAPE_STR("id", SOMETIMES, "of the plan"),
	SHAPE_STR("markdown", ALWAYS, "the plan for people who carry it out by hand"),
	SHAPE_END
};
const struct shape deployment_shape[] = {
	DEPLOYMENT_MEMBERS,
	SHAPE_ANY("components", SOMETIMES, "what was observed when it was recorded, by component"),
	SHAPE_END
};
static const struct shape unreachable_shape[] = {
	SHAPE_STR ("deploymentId", ALWAYS, "of the deployment that was there before"),
	SHAPE_STR ("version", ALWAYS, "its version"),
	SHAPE_STR ("reason", ALWAYS, "the first reason"),
	SHAPE_LIST("findings", ALWAYS, finding_shape, "all of them"),
	SHAPE_BOOL("allowed", ALWAYS, "the recorder said that it may be so"),
	SHAPE_END
};
const struct shape recorded_shape[] = {
	DEPLOYMENT_MEMBERS,
	SHAPE_ANY    ("components", ALWAYS, "what was observed, by component"),
	SHAPE_STRINGS("warnings", ALWAYS, "what a rollback to it could not bring back"),
	SHAPE_OBJECT ("unreachable", SOMETIMES, unreachable_shape, "the deployment before it can no longer be returned to"),
	SHAPE_END
};
static const struct shape estimate_shape[] = {
	SHAPE_CHOICE("basis", ALWAYS, "runs|steps|none", "runs of the same steps, steps of the same types, or no history: nothing can be said"),
	SHAPE_INT   ("medianMs", SOMETIMES, "from the request to the end"),
	SHAPE_INT   ("worstMs", SOMETIMES, "the longest that was seen"),
	SHAPE_INT   ("runs", SOMETIMES, "how many runs it is from"),
	SHAPE_STR   ("missing", SOMETIMES, "a type of step that was never measured here"),
	SHAPE_END
};
static const struct shape ready_target_shape[] = {
	SHAPE_STR    ("deploymentId", ALWAYS, "of the deployment"),
	SHAPE_STR    ("version", ALWAYS, "its version"),
	SHAPE_TIME   ("recordedAt", ALWAYS, "when"),
	SHAPE_CHOICE ("health", ALWAYS, HEALTHS, "its latest evidence"),
	SHAPE_BOOL   ("ready", ALWAYS, "could it be returned to right now?"),
	SHAPE_STR    ("reason", SOMETIMES, "the first reason why not"),
	SHAPE_INT    ("blocking", ALWAYS, "how many findings block it"),
	SHAPE_INT    ("warnings", ALWAYS, "how many warn"),
	SHAPE_INT    ("steps", SOMETIMES, "of the plan"),
	SHAPE_OBJECT ("estimate", SOMETIMES, estimate_shape, "how long it would take"),
	SHAPE_STRINGS("lost", SOMETIMES, "what would be lost"),
	SHAPE_LIST   ("findings", ALWAYS, finding_shape, "what was checked"),
	SHAPE_END
};
const struct shape readiness_shape[] = {
	SHAPE_STR   ("environment", ALWAYS, "where"),
	SHAPE_TIME  ("at", ALWAYS, "when it was looked at"),
	SHAPE_OBJECT("present", SOMETIMES, which_shape, "what runs there by the registry"),
	SHAPE_INT   ("ready", ALWAYS, "how many could be returned to"),
	SHAPE_OBJECT("best", SOMETIMES, which_shape, "the one that a rollback would choose"),
	SHAPE_INT   ("objectiveMs", ALWAYS, "how long a rollback may take"),
	SHAPE_LIST  ("targets", ALWAYS, ready_target_shape, "newest first"),
	SHAPE_END
};
static const struct shape deployment_row_shape[] = {
	DEPLOYMENT_MEMBERS,
	SHAPE_BOOL("present", ALWAYS, "it runs now"),
	SHAPE_BOOL("lastStable", ALWAYS, "it is the last stable one"),
	SHAPE_END
};
const struct shape deployment_list_shape[] = {
	SHAPE_STR ("environment", ALWAYS, "where"),
	SHAPE_LIST("deployments", ALWAYS, deployment_row_shape, "newest first"),
	SHAPE_NEXT,
	SHAPE_END
};
const struct shape health_shape[] = {
	SHAPE_STR   ("environment", ALWAYS, "where"),
	SHAPE_CHOICE("health", ALWAYS, HEALTHS, "all together"),
	SHAPE_BOOL  ("healthy", ALWAYS, "no probe failed"),
	SHAPE_LIST  ("probes", ALWAYS, probe_shape, "each"),
	SHAPE_STR   ("deployment", SOMETIMES, "for which it was kept as evidence"),
	SHAPE_END
};

/* --- the journal --------------------------------------------------------------------------------------------------- */

static const struct shape entry_shape[] = {
	SHAPE_INT ("seq", ALWAYS, "its number"),
	SHAPE_STR ("id", ALWAYS, "of the entry"),
	SHAPE_TIME("at", ALWAYS, "when"),
	SHAPE_STR ("kind", ALWAYS, "what happened"),
	SHAPE_STR ("environment", SOMETIMES, "where"),
	SHAPE_STR ("run", SOMETIMES, "run that it belongs to"),
	SHAPE_STR ("actor", SOMETIMES, "who"),
	SHAPE_ANY ("data", ALWAYS, "what is told of it"),
	SHAPE_STR ("previous", ALWAYS, "hash of the entry before"),
	SHAPE_STR ("hash", ALWAYS, "its own"),
	SHAPE_END
};
const struct shape entries_shape[] = {
	SHAPE_LIST("entries", ALWAYS, entry_shape, "newest first"),
	SHAPE_NEXT,
	SHAPE_END
};
const struct shape notifications_shape[] = {
	SHAPE_LIST("notifications", ALWAYS, entry_shape, "newest first"),
	SHAPE_NEXT,
	SHAPE_END
};
const struct shape audit_proof_shape[] = {
	SHAPE_BOOL("intact", ALWAYS, "every entry fits the one before it"),
	SHAPE_INT ("entries", ALWAYS, "how many were verified"),
	SHAPE_STR ("head", ALWAYS, "hash of the newest"),
	SHAPE_END
};

/* --- snapshots ----------------------------------------------------------------------------------------------------- */

#define SNAPSHOT_ROW \
	SHAPE_STR ("id", ALWAYS, "of the snapshot; of a run: the run's"), \
	SHAPE_STR ("kind", ALWAYS, "run (taken before one), advance (taken when somebody or the server wanted it), ledger (what a restore took away)"), \
	SHAPE_STR ("environment", SOMETIMES, "where"), \
	SHAPE_TIME("takenAt", ALWAYS, "when"), \
	SHAPE_INT ("files", ALWAYS, "how many"), \
	SHAPE_INT ("bytes", ALWAYS, "how large"), \
	SHAPE_STR ("manifest", SOMETIMES, "hash of its manifest"), \
	SHAPE_TIME("verifiedAt", SOMETIMES, "when it was compared with its manifest"), \
	SHAPE_BOOL("intact", SOMETIMES, "it was as it should be"), \
	SHAPE_BOOL("pruned", ALWAYS, "it was removed"),

static const struct shape snapshot_row_shape[] = {
	SNAPSHOT_ROW
	SHAPE_END
};
const struct shape snapshot_list_shape[] = {
	SHAPE_LIST("snapshots", ALWAYS, snapshot_row_shape, "newest first"),
	SHAPE_BOOL("sealed", ALWAYS, "they are encrypted at rest"),
	SHAPE_END
};
const struct shape snapshot_shape[] = {
	SNAPSHOT_ROW
	SHAPE_ANY("metadata", ALWAYS, "what it was taken for"),
	SHAPE_ANY("content", ALWAYS, "what is in it: path, type, mode, size, and where a link leads"),
	SHAPE_END
};
const struct shape snapshot_taken_shape[] = {
	SHAPE_STR ("id", ALWAYS, "of the snapshot"),
	SHAPE_STR ("kind", ALWAYS, "advance"),
	SHAPE_STR ("environment", ALWAYS, "what was captured"),
	SHAPE_TIME("takenAt", ALWAYS, "when"),
	SHAPE_INT ("files", ALWAYS, "how many"),
	SHAPE_INT ("bytes", ALWAYS, "how large"),
	SHAPE_STR ("manifest", ALWAYS, "hash of its manifest"),
	SHAPE_BOOL("sealed", ALWAYS, "it is encrypted at rest"),
	SHAPE_INT ("newFiles", ALWAYS, "how many of them were not kept before"),
	SHAPE_INT ("newBytes", ALWAYS, "how much room they take"),
	SHAPE_END
};
const struct shape copied_shape[] = {
	SHAPE_INT ("files", ALWAYS, "how many were sent or fetched"),
	SHAPE_INT ("bytes", ALWAYS, "how large they are"),
	SHAPE_INT ("there", ALWAYS, "how many were there already"),
	SHAPE_INT ("unsealed", ALWAYS, "snapshots that are not sealed, and stay here alone"),
	SHAPE_BOOL("dryRun", ALWAYS, "or only would be"),
	SHAPE_END
};
const struct shape rotated_shape[] = {
	SHAPE_INT("version", ALWAYS, "of the present key"),
	SHAPE_INT("keys", ALWAYS, "how many data keys were wrapped anew"),
	SHAPE_END
};
static const struct shape file_problem_shape[] = {
	SHAPE_STR("path", ALWAYS, "of the file"),
	SHAPE_STR("problem", ALWAYS, "what is wrong with it"),
	SHAPE_END
};
const struct shape snapshot_check_shape[] = {
	SHAPE_STR ("id", ALWAYS, "of the snapshot"),
	SHAPE_BOOL("intact", ALWAYS, "every file is as it should be"),
	SHAPE_INT ("files", ALWAYS, "how many were compared"),
	SHAPE_INT ("bytes", ALWAYS, "how large they are"),
	SHAPE_LIST("problems", ALWAYS, file_problem_shape, "those that are not"),
	SHAPE_END
};
const struct shape pruned_shape[] = {
	SHAPE_STRINGS("pruned", ALWAYS, "ids of those that were removed"),
	SHAPE_STRINGS("deployments", ALWAYS, "ids of deployments whose kept content was removed"),
	SHAPE_BOOL   ("dryRun", ALWAYS, "or only would be"),
	SHAPE_INT    ("objects", ALWAYS, "stored objects that nothing needed any more, and that were removed"),
	SHAPE_INT    ("bytes", ALWAYS, "the room that they took"),
	SHAPE_END
};
const struct shape exported_shape[] = {
	SHAPE_STR("id", ALWAYS, "of the snapshot"),
	SHAPE_STR("directory", ALWAYS, "where the copy is"),
	SHAPE_END
};

/* --- versions and configuration ------------------------------------------------------------------------------------ */

static const struct shape person_shape[] = {
	SHAPE_STR ("name", ALWAYS, "as it stands in the commit"),
	SHAPE_STR ("email", ALWAYS, "as it stands in the commit"),
	SHAPE_TIME("date", SOMETIMES, "when"),
	SHAPE_END
};
static const struct shape parsed_shape[] = {
	SHAPE_STR("text", ALWAYS, "as it is written"),
	SHAPE_ANY("parts", ALWAYS, "its numbers"),
	SHAPE_STR("pre", SOMETIMES, "what makes it a version before the release"),
	SHAPE_STR("build", SOMETIMES, "build metadata"),
	SHAPE_END
};
static const struct shape commit_shape[] = {
	SHAPE_STR("name", ALWAYS, "of the version"),
	SHAPE_STR("sha", ALWAYS, "of its commit"),
	SHAPE_END
};
static const struct shape changed_files_shape[] = {
	SHAPE_INT    ("count", ALWAYS, "how many"),
	SHAPE_STRINGS("names", ALWAYS, "the first of them"),
	SHAPE_INT    ("more", ALWAYS, "how many are not named"),
	SHAPE_END
};
static const struct shape distance_shape[] = {
	SHAPE_INT("ahead", ALWAYS, "commits that it has and the present one has not"),
	SHAPE_INT("behind", ALWAYS, "the other way round"),
	SHAPE_END
};
static const struct shape ran_shape[] = {
	SHAPE_STR ("id", ALWAYS, "of the deployment"),
	SHAPE_STR ("version", ALWAYS, "its version"),
	SHAPE_TIME("recordedAt", ALWAYS, "when"),
	SHAPE_STR ("status", ALWAYS, "of the deployment"),
	SHAPE_STR ("health", ALWAYS, "its latest evidence"),
	SHAPE_BOOL("present", ALWAYS, "it runs now"),
	SHAPE_BOOL("lastStable", ALWAYS, "it is the last stable one"),
	SHAPE_END
};
static const struct shape version_shape[] = {
	SHAPE_STR   ("name", ALWAYS, "tag, branch or commit"),
	SHAPE_STR   ("kind", ALWAYS, "which of them"),
	SHAPE_STR   ("ref", SOMETIMES, "full name of the reference"),
	SHAPE_STR   ("versionKind", ALWAYS, "how the name is read"),
	SHAPE_OBJECT("version", ALWAYS, parsed_shape, "what was read"),
	SHAPE_STR   ("sha", ALWAYS, "of the commit"),
	SHAPE_OBJECT("author", ALWAYS, person_shape, "who wrote it"),
	SHAPE_TIME  ("date", SOMETIMES, "when it was written"),
	SHAPE_TIME  ("committedAt", SOMETIMES, "when it was committed"),
	SHAPE_STR   ("subject", ALWAYS, "first line of the message"),
	SHAPE_STR   ("tagMessage", SOMETIMES, "of the tag"),
	SHAPE_OBJECT("tagger", SOMETIMES, person_shape, "who tagged it"),
	SHAPE_OBJECT("predecessor", SOMETIMES, commit_shape, "the version before it"),
	SHAPE_OBJECT("filesChanged", SOMETIMES, changed_files_shape, "since its predecessor"),
	SHAPE_OBJECT("distance", SOMETIMES, distance_shape, "from what runs now"),
	SHAPE_BOOL  ("present", SOMETIMES, "it runs now"),
	SHAPE_BOOL  ("lastStable", SOMETIMES, "it is the last stable one"),
	SHAPE_LIST  ("deployments", SOMETIMES, ran_shape, "where it was deployed"),
	SHAPE_ANY   ("metadata", SOMETIMES, "what the commit holds"),
	SHAPE_ANY   ("metadataDifference", SOMETIMES, "what is otherwise than in what runs now"),
	SHAPE_END
};
static const struct shape skipped_shape[] = {
	SHAPE_STR("name", ALWAYS, "of the reference"),
	SHAPE_STR("reason", ALWAYS, "why it is no version"),
	SHAPE_END
};
const struct shape versions_shape[] = {
	SHAPE_STR ("repository", ALWAYS, "where it is"),
	SHAPE_BOOL("bare", ALWAYS, "without a working tree"),
	SHAPE_BOOL("shallow", ALWAYS, "its history is cut off"),
	SHAPE_STR ("head", SOMETIMES, "commit that is checked out"),
	SHAPE_STR ("headRef", SOMETIMES, "branch that is checked out"),
	SHAPE_STR ("distanceFrom", SOMETIMES, "commit that distances are told from"),
	SHAPE_STR ("environment", SOMETIMES, "where deployments were looked for"),
	SHAPE_LIST("versions", ALWAYS, version_shape, "newest first"),
	SHAPE_LIST("skipped", ALWAYS, skipped_shape, "what was left out"),
	SHAPE_LIST("unmatched", SOMETIMES, ran_shape, "deployments of no version that was found"),
	SHAPE_END
};
static const struct shape environment_shape[] = {
	SHAPE_STR("name", ALWAYS, "of the environment"),
	SHAPE_INT("components", ALWAYS, "how many"),
	SHAPE_INT("probes", ALWAYS, "how many"),
	SHAPE_END
};
const struct shape config_check_shape[] = {
	SHAPE_STR ("file", ALWAYS, "the project file"),
	SHAPE_BOOL("valid", ALWAYS, "nothing is wrong with it"),
	SHAPE_STR ("project", SOMETIMES, "name of the project"),
	SHAPE_LIST("environments", ALWAYS, environment_shape, "what it describes"),
	SHAPE_LIST("problems", ALWAYS, problem_shape, "what is wrong, or doubtful"),
	SHAPE_END
};
static const struct shape catalogue_row_shape[] = {
	SHAPE_STR("name", ALWAYS, "as the project file names it"),
	SHAPE_STR("summary", ALWAYS, "in one line"),
	SHAPE_STR("kind", SOMETIMES, "what a driver handles"),
	SHAPE_ANY("fields", ALWAYS, "its parameters"),
	SHAPE_END
};
const struct shape catalogue_shape[] = {
	SHAPE_LIST("", ALWAYS, catalogue_row_shape, "what there is"),
	SHAPE_END
};

/* --- access -------------------------------------------------------------------------------------------------------- */

static const struct shape vote_shape[] = {
	SHAPE_STR ("name", ALWAYS, "who"),
	SHAPE_BOOL("approves", ALWAYS, "or rejects"),
	SHAPE_STR ("reason", SOMETIMES, "why"),
	SHAPE_TIME("at", SOMETIMES, "when"),
	SHAPE_END
};
const struct shape approval_shape[] = {
	SHAPE_STR    ("id", ALWAYS, "of the request"),
	SHAPE_STR    ("operation", ALWAYS, "what was asked for"),
	SHAPE_STR    ("status", ALWAYS, "pending, approved, used, rejected, expired or withdrawn"),
	SHAPE_STR    ("environment", SOMETIMES, "where"),
	SHAPE_ANY    ("input", SOMETIMES, "of the operation"),
	SHAPE_STR    ("planHash", SOMETIMES, "what is agreed to"),
	SHAPE_ANY    ("shown", SOMETIMES, "what the requester saw"),
	SHAPE_STRINGS("needs", ALWAYS, "permissions because of which it is needed"),
	SHAPE_STR    ("requester", SOMETIMES, "who asked"),
	SHAPE_STR    ("reason", SOMETIMES, "why"),
	SHAPE_STR    ("byWayOf", SOMETIMES, "the machine that asked on their behalf"),
	SHAPE_INT    ("required", ALWAYS, "how many have to agree"),
	SHAPE_INT    ("approvedBy", ALWAYS, "how many have agreed"),
	SHAPE_LIST   ("votes", ALWAYS, vote_shape, "who said what"),
	SHAPE_TIME   ("requestedAt", SOMETIMES, "when it was asked for"),
	SHAPE_TIME   ("expiresAt", SOMETIMES, "until when it waits"),
	SHAPE_TIME   ("approvedAt", SOMETIMES, "when enough had agreed"),
	SHAPE_TIME   ("useUntil", SOMETIMES, "until when that holds"),
	SHAPE_STR    ("run", SOMETIMES, "what came of it"),
	SHAPE_END
};
const struct shape approval_list_shape[] = {
	SHAPE_LIST("approvals", ALWAYS, approval_shape, "newest first"),
	SHAPE_END
};
const struct shape approval_decided_shape[] = {
	SHAPE_OBJECT("approval", ALWAYS, approval_shape, "as it stands now"),
	SHAPE_ANY   ("result", SOMETIMES, "what was carried out because enough had agreed: the answer of that operation"),
	SHAPE_END
};
const struct shape breakglass_shape[] = {
	SHAPE_STR ("id", ALWAYS, "of the break-glass"),
	SHAPE_STR ("environment", ALWAYS, "where"),
	SHAPE_STR ("openedBy", SOMETIMES, "who"),
	SHAPE_STR ("reason", SOMETIMES, "why"),
	SHAPE_BOOL("open", ALWAYS, "it holds"),
	SHAPE_TIME("openedAt", ALWAYS, "since when"),
	SHAPE_TIME("until", ALWAYS, "until when at the latest"),
	SHAPE_TIME("closedAt", SOMETIMES, "when it ended"),
	SHAPE_TIME("reviewedAt", SOMETIMES, "when somebody looked at it afterwards"),
	SHAPE_STR ("reviewedBy", SOMETIMES, "who did"),
	SHAPE_STR ("note", SOMETIMES, "what they found"),
	SHAPE_END
};
const struct shape breakglass_list_shape[] = {
	SHAPE_LIST("breakglasses", ALWAYS, breakglass_shape, "newest first"),
	SHAPE_END
};
static const struct shape grant_shape[] = {
	SHAPE_STR    ("environment", ALWAYS, "name, or * for all"),
	SHAPE_STR    ("role", ALWAYS, "viewer, operator, approver or admin"),
	SHAPE_STRINGS("permissions", SOMETIMES, "beside those of the role"),
	SHAPE_END
};
const struct shape principal_shape[] = {
	SHAPE_STR   ("id", ALWAYS, "of the principal"),
	SHAPE_STR   ("name", ALWAYS, "their name"),
	SHAPE_CHOICE("kind", ALWAYS, "person|service", "what they are"),
	SHAPE_LIST  ("grants", ALWAYS, grant_shape, "roles by environment"),
	SHAPE_BOOL  ("password", ALWAYS, "they have one"),
	SHAPE_TIME  ("addedAt", ALWAYS, "since when"),
	SHAPE_STR   ("subject", SOMETIMES, "by which another party vouches for them"),
	SHAPE_END
};
const struct shape principal_list_shape[] = {
	SHAPE_LIST("people", ALWAYS, principal_shape, "by name"),
	SHAPE_END
};
const struct shape principal_removed_shape[] = {
	SHAPE_STR("id", ALWAYS, "of the principal"),
	SHAPE_STR("removed", ALWAYS, "their name"),
	SHAPE_END
};
const struct shape token_shape[] = {
	SHAPE_STR    ("id", ALWAYS, "of the token; no secret"),
	SHAPE_STR    ("name", ALWAYS, "what it is for"),
	SHAPE_STR    ("principal", ALWAYS, "whose it is"),
	SHAPE_BOOL   ("narrowed", ALWAYS, "to the permissions that are named; else it may whatever its owner may"),
	SHAPE_STRINGS("permissions", SOMETIMES, "what it is narrowed to"),
	SHAPE_BOOL   ("expired", ALWAYS, "its time is over"),
	SHAPE_STRINGS("environments", SOMETIMES, "where it holds; everywhere when missing"),
	SHAPE_TIME   ("createdAt", SOMETIMES, "when it was made"),
	SHAPE_STR    ("createdBy", SOMETIMES, "who made it"),
	SHAPE_TIME   ("expiresAt", SOMETIMES, "until when it holds"),
	SHAPE_TIME   ("revokedAt", SOMETIMES, "when it was ended"),
	SHAPE_TIME   ("usedAt", SOMETIMES, "when it was used last"),
	SHAPE_STR    ("token", SOMETIMES, "the token itself: shown once, when it is made"),
	SHAPE_END
};
const struct shape token_list_shape[] = {
	SHAPE_LIST("tokens", ALWAYS, token_shape, "newest first"),
	SHAPE_END
};
const struct shape token_revoked_shape[] = {
	SHAPE_STR("id", ALWAYS, "of the token"),
	SHAPE_STR("name", ALWAYS, "what it was for"),
	SHAPE_STR("principal", ALWAYS, "whose it was"),
	SHAPE_END
};
static const struct shape session_row_shape[] = {
	SHAPE_STR ("id", ALWAYS, "of the session; no secret"),
	SHAPE_STR ("principal", ALWAYS, "who"),
	SHAPE_STR ("method", ALWAYS, "how they signed in"),
	SHAPE_BOOL("this", ALWAYS, "it is the one that asks"),
	SHAPE_STR ("origin", SOMETIMES, "address that they signed in from"),
	SHAPE_STR ("agent", SOMETIMES, "their browser, as it calls itself"),
	SHAPE_TIME("begunAt", SOMETIMES, "since when"),
	SHAPE_TIME("seenAt", SOMETIMES, "when it was used last"),
	SHAPE_END
};
const struct shape session_list_shape[] = {
	SHAPE_LIST("sessions", ALWAYS, session_row_shape, "newest first"),
	SHAPE_END
};
const struct shape session_revoked_shape[] = {
	SHAPE_STR("id", ALWAYS, "of the session"),
	SHAPE_STR("principal", ALWAYS, "whose it was"),
	SHAPE_END
};
/* clang-format on */
