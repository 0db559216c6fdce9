/* Who may come in and what waits for people: principals, tokens, sessions, approvals, break-glass, for people to read. */
#include <string.h>

#include "base/text.h"
#include "surface/cli/cli.h"

static const char *get(const json_t *object, const char *key)
{
	return json_str(object, key, "");
}

/* Strings of a list, with commas. */
static char *joined(struct cli *cli, json_t *list)
{
	char *text = mem_strdup(cli->ctx, "");
	json_t *item;
	size_t index;

	json_array_foreach(list, index, item)
		text = mem_appendf(text, "%s%s", index ? ", " : "", json_is_string(item) ? json_string_value(item) : "");
	return text;
}

static char *grants_text(struct cli *cli, json_t *grants)
{
	char *text = mem_strdup(cli->ctx, "");
	json_t *grant, *extra;
	size_t index, i;

	json_array_foreach(grants, index, grant) {
		text = mem_appendf(text, "%s%s=%s", index ? " " : "", get(grant, "environment"), get(grant, "role"));
		json_array_foreach(json_object_get(grant, "permissions"), i, extra)
			text = mem_appendf(text, "+%s", json_string_value(extra));
	}
	return text;
}

static const char *way_in(json_t *person)
{
	if (json_flag(person, "password", false))
		return "password";
	return *get(person, "subject") ? get(person, "subject") : "-";
}

void render_people(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "people"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 5 + 1);
	static const char *const header[] = { "name", "kind", "granted", "signs in by", "added" };

	(void)err;
	if (!count) {
		out(cli, "Nobody but the command line here may do anything: `unship people add NAME --grant '*=admin' --password`.");
		return;
	}
	json_array_foreach(list, index, item) {
		const char **row = cells + index * 5;

		row[0] = get(item, "name");
		row[1] = get(item, "kind");
		row[2] = grants_text(cli, json_object_get(item, "grants"));
		row[3] = way_in(item);
		row[4] = get(item, "addedAt");
	}
	out_table(cli, header, cells, 5, count);
}

void render_person(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	if (json_object_get(answer, "removed")) {
		out(cli, "%s %s is removed; tokens and sessions have ended", mark_text(cli, MARK_OK), get(answer, "removed"));
		return;
	}
	out(cli, "%s %s  %s  granted: %s  signs in by: %s", styled(cli, "bold", get(answer, "name")), get(answer, "id"),
		get(answer, "kind"),
		json_array_size(json_object_get(answer, "grants")) ? grants_text(cli, json_object_get(answer, "grants")) : "nothing",
		way_in(answer));
}

static char *reach(struct cli *cli, json_t *token)
{
	json_t *environments = json_object_get(token, "environments"), *named = json_object_get(token, "permissions");
	const char *what = named ? joined(cli, named) : "whatever its owner may";

	if (environments)
		return mem_printf(cli->ctx, "%s in %s", what, joined(cli, environments));
	return named ? mem_printf(cli->ctx, "%s in all that its owner may", what) : mem_strdup(cli->ctx, what);
}

/* The token itself alone on stdout, so that it can be piped into a file; words around it go to stderr. */
void render_token(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	if (!json_object_get(answer, "token")) {
		out(cli, "%s %s of %s has ended", mark_text(cli, MARK_OK), get(answer, "id"), get(answer, "principal"));
		return;
	}
	say(cli, "%s  %s  of %s  until %s", styled(cli, "bold", get(answer, "name")), get(answer, "id"), get(answer, "principal"),
		get(answer, "expiresAt"));
	say(cli, "  may: %s", reach(cli, answer));
	say(cli, "  this is the only time that it is shown:");
	out(cli, "%s", get(answer, "token"));
}

void render_tokens(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "tokens"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 6 + 1);
	static const char *const header[] = { "token", "name", "of", "until", "last used", "may" };

	(void)err;
	if (!count) {
		out(cli, "There are no tokens.");
		return;
	}
	json_array_foreach(list, index, item) {
		const char **row = cells + index * 6;

		row[0] = get(item, "id");
		row[1] = get(item, "name");
		row[2] = get(item, "principal");
		row[3] = json_flag(item, "expired", false) ? styled(cli, "yellow", "over") : get(item, "expiresAt");
		row[4] = *get(item, "usedAt") ? get(item, "usedAt") : "never";
		row[5] = reach(cli, item);
	}
	out_table(cli, header, cells, 6, count);
}

void render_sessions(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "sessions"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 6 + 1);
	static const char *const header[] = { "session", "of", "begun", "last seen", "from", "by" };

	(void)err;
	if (!count) {
		out(cli, "Nobody is signed in.");
		return;
	}
	json_array_foreach(list, index, item) {
		const char **row = cells + index * 6;

		row[0] = get(item, "id");
		row[1] = get(item, "principal");
		row[2] = get(item, "begunAt");
		row[3] = get(item, "seenAt");
		row[4] = get(item, "origin");
		row[5] = get(item, "agent");
	}
	out_table(cli, header, cells, 6, count);
}

/* --- approvals --------------------------------------------------------------------------------------------------------------- */

static char *votes_text(struct cli *cli, json_t *approval)
{
	return mem_printf(cli->ctx, "%lld of %lld", (long long)json_int(approval, "approvedBy", 0),
		(long long)json_int(approval, "required", 0));
}

void render_approvals(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "approvals"), *item;
	size_t count = json_array_size(list), index;
	const char **cells = mem_array(cli->ctx, const char *, count * 9 + 1);
	static const char *const header[] = { "approval", "environment", "what", "to", "asked by", "status", "approved", "until",
		"reason" };

	(void)err;
	if (!count) {
		out(cli, "Nothing waits for an approval.");
		return;
	}
	json_array_foreach(list, index, item) {
		const char **row = cells + index * 9;

		row[0] = get(item, "id");
		row[1] = get(item, "environment");
		row[2] = get(item, "operation");
		row[3] = get(json_object_get(json_object_get(item, "shown"), "target"), "version");
		row[4] = get(item, "requester");
		row[5] = get(item, "status");
		row[6] = votes_text(cli, item);
		row[7] = *get(item, "useUntil") ? get(item, "useUntil") : get(item, "expiresAt");
		row[8] = get(item, "reason");
	}
	out_table(cli, header, cells, 9, count);
}

static void print_votes(struct cli *cli, json_t *votes)
{
	json_t *vote;
	size_t index;

	json_array_foreach(votes, index, vote)
		out(cli, "  %s %s %s %s%s%s", mark_text(cli, json_flag(vote, "approves", false) ? MARK_OK : MARK_FAIL), get(vote, "name"),
			json_flag(vote, "approves", false) ? "approved" : "rejected", get(vote, "at"), *get(vote, "reason") ? ": " : "",
			get(vote, "reason"));
}

static void print_approval(struct cli *cli, json_t *approval)
{
	const char *status = get(approval, "status"), *id = get(approval, "id");
	int64_t missing = json_int(approval, "required", 0) - json_int(approval, "approvedBy", 0);

	out(cli, "%s %s %s: %s asked for %s in %s%s%s%s", mark_text(cli, !strcmp(status, "pending") ? MARK_WAIT : MARK_NONE), id,
		styled(cli, "bold", status), get(approval, "requester"), get(approval, "operation"), get(approval, "environment"),
		*get(approval, "byWayOf") ? mem_printf(cli->ctx, " by way of %s", get(approval, "byWayOf")) : "",
		*get(approval, "reason") ? ": " : "", get(approval, "reason"));
	if (*get(approval, "planHash"))
		out(cli, "  plan %s", get(approval, "planHash"));
	print_votes(cli, json_object_get(approval, "votes"));
	if (!strcmp(status, "pending")) {
		out(cli, "  nothing was changed. %lld other %s must approve until %s:", (long long)missing,
			missing == 1 ? "person" : "people", get(approval, "expiresAt"));
		out(cli, "  next: somebody else: `unship approve %s` or `unship reject %s`", id, id);
	} else if (!strcmp(status, "approved")) {
		out(cli, "  nothing was changed. The approval holds until %s, and only for the state that was shown.",
			get(approval, "useUntil"));
		out(cli,
			"  next: %s asks for the same again: it is carried out if the state is as it was shown, else that is a new request",
			get(approval, "requester"));
	} else if (*get(approval, "run")) {
		out(cli, "  next: `unship status %s` shows what came of it", get(approval, "run"));
	}
}

/* An approval, alone or as the answer to a vote, with what came of it. */
void render_approval(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *approval = json_object_get(answer, "approval"), *result = json_object_get(answer, "result");
	json_t *shown = json_object_get(approval ? approval : answer, "shown");

	if (!approval && shown)
		render_plan(cli, shown, NULL);
	print_approval(cli, approval ? approval : answer);
	if (result)
		render_run(cli, result, err);
}

void render_breakglass(struct cli *cli, json_t *answer, const struct err *err)
{
	(void)err;
	out(cli, "%s %s %s: %s in %s: %s", mark_text(cli, json_flag(answer, "open", false) ? MARK_WARN : MARK_NONE), get(answer, "id"),
		styled(cli, "bold", json_flag(answer, "open", false) ? "open" : "closed"), get(answer, "openedBy"),
		get(answer, "environment"), get(answer, "reason"));
	out(cli, "  from %s until %s", get(answer, "openedAt"), *get(answer, "closedAt") ? get(answer, "closedAt") : get(answer, "until"));
	if (*get(answer, "reviewedBy"))
		out(cli, "  reviewed by %s, %s: %s", get(answer, "reviewedBy"), get(answer, "reviewedAt"), get(answer, "note"));
	else
		out(cli, "  next: another person looks at what was done: `unship breakglass review %s --note '...'`", get(answer, "id"));
}

void render_breakglasses(struct cli *cli, json_t *answer, const struct err *err)
{
	json_t *list = json_object_get(answer, "breakglasses"), *item;
	size_t index;

	if (!json_array_size(list))
		out(cli, "Nobody has broken the glass.");
	json_array_foreach(list, index, item)
		render_breakglass(cli, item, err);
}
