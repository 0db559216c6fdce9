/* Entries: the lines of the journal. The kinds are listed here and nowhere else.
 *
 * The chain: hash = SHA-256 over canonical JSON of {"seq","id","at","kind","environment","run","actor","data","previous"} (absent members left out), in lower-case hex; "previous" is the hash of
 * the entry before, and 64 zeros for the first. */
#ifndef CORE_ENTRY_H
#define CORE_ENTRY_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

struct entry {
	int64_t seq;    /* 1, 2, 3... without gaps; 0 before it is appended */
	const char *id; /* made by append when NULL */
	int64_t wall_ms;
	const char *kind;            /* one of ENTRY_* */
	const char *environment;     /* NULL: none */
	const char *run;             /* run id; NULL */
	const char *actor;           /* who: "ana@laptop", "ci", "unship" */
	json_t *data;                /* object, never NULL after append */
	const char *previous, *hash; /* set by append */
};

/* Registry */
#define ENTRY_DEPLOYMENT_RECORDED   "deployment.recorded"   /* {deployment} */
#define ENTRY_DEPLOYMENT_HEALTH     "deployment.health"     /* {deployment, health, source, probes: [{name, status, message}]} */
#define ENTRY_DEPLOYMENT_STATUS     "deployment.status"     /* {deployment, status, run} */
#define ENTRY_DEPLOYMENT_QUARANTINE "deployment.quarantine" /* {deployment, reason} */
#define ENTRY_DEPLOYMENT_RELEASE    "deployment.release"    /* {deployment, reason}: quarantine lifted */
#define ENTRY_DEPLOYMENT_MARK       "deployment.mark"       /* {deployment, rollbackTarget} */
/* Readiness (docs/readiness.md) */
#define ENTRY_READINESS_CHANGED     "readiness.changed" /* {ready, before, best, targets: [{deployment, version, ready, reason}]} */
#define ENTRY_READINESS_LOST \
	"readiness.lost" /* {deployment, unreachable, version, reason, findings, allowed}: recording one made the one before it unreachable */
/* Runs; core/run.h folds them */
#define ENTRY_RUN_REQUESTED \
	"run.requested" /* {plan, planHash, expected, from, to, reason, options, context, undoOf, findings, overrides, requester, approval, breakglass} */
#define ENTRY_RUN_STARTED    "run.started"    /* {holder, resumed, boot, again: [ids of steps to look at again]} */
#define ENTRY_STEP_CAPTURED  "step.captured"  /* {step, subject, observed, attempt} */
#define ENTRY_SNAPSHOT_TAKEN "snapshot.taken" /* {snapshot, files, bytes, manifest} */
#define ENTRY_STEP_BEGUN     "step.begun"     /* {step, verb: apply|undo, attempt, key} intent */
#define ENTRY_STEP_ENDED \
	"step.ended" /* {step, verb: apply|undo|capture, attempt, outcome: done|failed|unknown, code, message, retryable, observed, outputs, logs, durationMs, settled, notBegun: the call was never made} */
#define ENTRY_RUN_WAITING            "run.waiting"  /* {step, question: unknown|approval, message} */
#define ENTRY_RUN_ANSWERED           "run.answered" /* {step, answer: done|retry|restore|approve|reject, principal, reason} */
#define ENTRY_RUN_CANCEL             "run.cancel"   /* {reason} */
#define ENTRY_RUN_ENDED              "run.ended"    /* {status, changed, code, step, message, phases: {capture,apply,verify,undo: ms}} */
/* Flags, snapshots, telling */
#define ENTRY_FLAG_SET               "flag.set"               /* {flag, group, state, previous, reason} */
#define ENTRY_FLAG_RESTORED          "flag.restored"          /* {flag, state, previous, change} */
#define ENTRY_FLAG_DEFINED           "flag.defined"           /* {flag, group, definition, reason}: core/flag.h */
#define ENTRY_FLAG_REMOVED           "flag.removed"           /* {flag, state, reason} */
#define ENTRY_SNAPSHOT_VERIFIED      "snapshot.verified"      /* {snapshot, ok, problems} */
#define ENTRY_SNAPSHOT_RESTORED      "snapshot.restored"      /* {snapshot, component} */
#define ENTRY_SNAPSHOT_PRUNED        "snapshot.pruned"        /* {snapshot} */
#define ENTRY_SNAPSHOTS_COPIED       "snapshots.copied"       /* {files, bytes} */
#define ENTRY_SNAPSHOTS_FETCHED      "snapshots.fetched"      /* {files, bytes} */
#define ENTRY_SNAPSHOT_ROTATED       "snapshot.rotated"       /* {version, keys: how many were wrapped anew} */
#define ENTRY_DRILL_COMPLETED        "drill.completed"        /* what a rehearsal found: the answer of drills.run */
#define ENTRY_NOTIFICATION_QUEUED    "notification.queued"    /* {notification, event, channel, recipients, message, details} */
#define ENTRY_NOTIFICATION_DELIVERED "notification.delivered" /* {notification, recipient, attempt} */
#define ENTRY_NOTIFICATION_FAILED    "notification.failed"    /* {notification, recipient, attempt, message, final} */
#define ENTRY_PLAN_SAVED             "plan.saved"             /* {plan, planHash, path} */
#define ENTRY_REFUSED                "refused"                /* {operation, code, message, findings, origin} */
/* Access; store/access.h folds them. Never a secret nor its hash */
#define ENTRY_PRINCIPAL_ADDED        "principal.added"   /* {principal, name, kind, grants, subject} */
#define ENTRY_PRINCIPAL_CHANGED      "principal.changed" /* {principal, grants, password: true when it was set} */
#define ENTRY_PRINCIPAL_REMOVED      "principal.removed" /* {principal, name} */
#define ENTRY_TOKEN_CREATED          "token.created"     /* {token, principal, name, permissions, environments, expires} */
#define ENTRY_TOKEN_REVOKED          "token.revoked"     /* {token, reason} */
#define ENTRY_SESSION_BEGUN          "session.begun"     /* {session, principal, origin, agent, method: password|oidc|bootstrap} */
#define ENTRY_SESSION_ENDED          "session.ended"     /* {session, reason: signed out|revoked|removed} */
#define ENTRY_LOGIN_REFUSED          "login.refused"     /* {name, origin, reason} */
#define ENTRY_APPROVAL_REQUESTED \
	"approval.requested" /* {approval, operation, principal, input, planHash, shown, needs, required, ttlMs, reason, byWayOf} */
#define ENTRY_APPROVAL_GIVEN      "approval.given"      /* {approval, principal, approves, reason} */
#define ENTRY_APPROVAL_USED       "approval.used"       /* {approval, run} */
#define ENTRY_APPROVAL_WITHDRAWN  "approval.withdrawn"  /* {approval, reason} */
#define ENTRY_BREAKGLASS_OPENED   "breakglass.opened"   /* {breakglass, principal, reason, until} */
#define ENTRY_BREAKGLASS_CLOSED   "breakglass.closed"   /* {breakglass} */
#define ENTRY_BREAKGLASS_REVIEWED "breakglass.reviewed" /* {breakglass, reviewer, note} */

/* Signals from outside; store/alerts.h folds them */
#define ENTRY_SIGNAL_ALERT \
	"signal.alert" /* {hook, fingerprint, status: firing|resolved, labels, annotations, startsAt, endsAt, url, truncatedAlerts} */

/* The bytes that are hashed, in ctx. */
char *entry_canonical(const void *ctx, const struct entry *entry);
/* Fills entry->hash (in ctx) from its content and entry->previous. */
void entry_seal(const void *ctx, struct entry *entry);
#define ENTRY_FIRST_PREVIOUS "0000000000000000000000000000000000000000000000000000000000000000"
json_t *entry_json(const struct entry *entry); /* new reference, camelCase as in the API */
/* Back from that form; everything in ctx. ERR_INVALID names the member that is missing. */
must_check int entry_from_json(const void *ctx, json_t *object, struct entry *ret, struct err *err);

#endif
