/* Field tables: the parameters of a driver, a probe, a step type, an operation or the project file are declared once, as data. From the
 * table come parsing, validation, JSON schema, command-line flags, documentation.
 *
 *     static const struct field process_fields[] = {
 *             FIELD_LIST(struct process_params, argv,     REQUIRED,  "program and its arguments"),
 *             FIELD_PATH(struct process_params, dir,      OPTIONAL,  "working directory, relative to the project"),
 *             FIELD_MS  (struct process_params, grace_ms, DEFAULT("10s"), "time between SIGTERM and SIGKILL"),
 *             FIELD_END
 *     };
 *
 * The name that users write is the member's name in camelCase, less a unit suffix: grace_ms -> grace, env_file -> envFile. */
#ifndef DATA_FIELDS_H
#define DATA_FIELDS_H

#include "data/problems.h"

enum field_type {
	FIELD_TYPE_STR,    /* const char *     string; also accepts a number or a boolean scalar, as its text */
	FIELD_TYPE_NAME,   /* const char *     text_is_name */
	FIELD_TYPE_PATH,   /* const char *     non-empty, no 0 byte */
	FIELD_TYPE_INT,    /* int64_t          within min..max */
	FIELD_TYPE_REAL,   /* double           within min..max */
	FIELD_TYPE_BOOL,   /* bool */
	FIELD_TYPE_MS,     /* int64_t          duration in milliseconds, from "30s" or bare seconds; within min..max (ms) */
	FIELD_TYPE_SHARE,  /* double           "1%" or 0.01 */
	FIELD_TYPE_CHOICE, /* const char *     one of `choices` ("a|b|c") */
	FIELD_TYPE_LIST,   /* const char **    list of strings, NULL-terminated; a single string is a list of one */
	FIELD_TYPE_MAP,    /* json_t *         object with any keys (borrowed from the document); NULL when absent */
	FIELD_TYPE_ANY,    /* json_t *         any value; NULL when absent */
	FIELD_TYPE_SECRET, /* json_t *         a reference {file: P} | {env: NAME} | {credential: NAME}; a plain value is an error that says so */
	FIELD_TYPE_PASSWORD, /* const char *     a secret that somebody proves themselves with: given once, never shown, no option of the command line (which asks for it) */
	FIELD_TYPE_GROUP,    /* struct, inline   an object with `sub` fields */
};

/* What a path or the first word of an argv names, and what is to be said when it is not there (`unship config check`). */
enum field_expects {
	EXPECTS_NOTHING,
	EXPECTS_FILE,    /* a file; it may be made later: a warning */
	EXPECTS_DIR,     /* a directory; the same */
	EXPECTS_SOURCE,  /* a directory that nobody but the user makes: an error */
	EXPECTS_PROGRAM, /* a list: argv, its first word looked up as execvp does; a warning */
};

struct field {
	const char *member; /* C name; NULL ends the table */
	enum field_type type;
	size_t offset;
	bool required;
	const char *fallback; /* default, as text in the form that a user writes; NULL: zero */
	const char *choices;
	double min, max; /* both 0: the type's own range */
	const struct field *sub;
	const char *help;
	enum field_expects expects;
	const char *content; /* of a PATH: C name of the field that takes what stands in the file, for callers whose files are elsewhere */
};

#define REQUIRED      true, NULL
#define OPTIONAL      false, NULL
#define DEFAULT(text) false, text
#define FIELD_ANY_(struct_, member_, type_, choices_, min_, max_, sub_, help_, ...) \
	{ \
#member_, FIELD_TYPE_##type_, offsetof(struct_, member_), __VA_ARGS__, choices_, min_, max_, sub_, help_ \
	}
/* The third argument is REQUIRED, OPTIONAL or DEFAULT("text"). It stands for two values. */
#define FIELD_STR(struct_, member_, need_, help_)              FIELD_ANY_(struct_, member_, STR, NULL, 0, 0, NULL, help_, need_)
#define FIELD_NAME(struct_, member_, need_, help_)             FIELD_ANY_(struct_, member_, NAME, NULL, 0, 0, NULL, help_, need_)
#define FIELD_PATH(struct_, member_, need_, help_)             FIELD_ANY_(struct_, member_, PATH, NULL, 0, 0, NULL, help_, need_)
#define FIELD_INT(struct_, member_, need_, min_, max_, help_)  FIELD_ANY_(struct_, member_, INT, NULL, min_, max_, NULL, help_, need_)
#define FIELD_REAL(struct_, member_, need_, min_, max_, help_) FIELD_ANY_(struct_, member_, REAL, NULL, min_, max_, NULL, help_, need_)
#define FIELD_BOOL(struct_, member_, need_, help_)             FIELD_ANY_(struct_, member_, BOOL, NULL, 0, 0, NULL, help_, need_)
#define FIELD_MS(struct_, member_, need_, help_)               FIELD_ANY_(struct_, member_, MS, NULL, 0, 0, NULL, help_, need_)
#define FIELD_SHARE(struct_, member_, need_, help_)            FIELD_ANY_(struct_, member_, SHARE, NULL, 0, 0, NULL, help_, need_)
#define FIELD_CHOICE(struct_, member_, need_, choices_, help_) FIELD_ANY_(struct_, member_, CHOICE, choices_, 0, 0, NULL, help_, need_)
#define FIELD_LIST(struct_, member_, need_, help_)             FIELD_ANY_(struct_, member_, LIST, NULL, 0, 0, NULL, help_, need_)
#define FIELD_MAP(struct_, member_, need_, help_)              FIELD_ANY_(struct_, member_, MAP, NULL, 0, 0, NULL, help_, need_)
#define FIELD_JSON(struct_, member_, need_, help_)             FIELD_ANY_(struct_, member_, ANY, NULL, 0, 0, NULL, help_, need_)
#define FIELD_SECRET(struct_, member_, need_, help_)           FIELD_ANY_(struct_, member_, SECRET, NULL, 0, 0, NULL, help_, need_)
#define FIELD_PASSWORD(struct_, member_, need_, help_)         FIELD_ANY_(struct_, member_, PASSWORD, NULL, 0, 0, NULL, help_, need_)
#define FIELD_GROUP(struct_, member_, need_, sub_, help_)      FIELD_ANY_(struct_, member_, GROUP, NULL, 0, 0, sub_, help_, need_)
/* A path of the caller's, or, in the field `content_` of the same table, what stands in the file. */
#define FIELD_PATH_OR(struct_, member_, need_, content_, help_) \
	{ \
#member_, FIELD_TYPE_PATH, offsetof(struct_, member_), need_, NULL, 0, 0, NULL, help_, EXPECTS_NOTHING, #content_ \
	}
/* The same with what must be there. */
#define FIELD_EXPECT_(struct_, member_, type_, expects_, help_, ...) \
	{ \
#member_, FIELD_TYPE_##type_, offsetof(struct_, member_), __VA_ARGS__, NULL, 0, 0, NULL, help_, EXPECTS_##expects_ \
	}
#define FIELD_FILE(struct_, member_, need_, help_)    FIELD_EXPECT_(struct_, member_, PATH, FILE, help_, need_)
#define FIELD_FILES(struct_, member_, need_, help_)   FIELD_EXPECT_(struct_, member_, LIST, FILE, help_, need_)
#define FIELD_DIR(struct_, member_, need_, help_)     FIELD_EXPECT_(struct_, member_, PATH, DIR, help_, need_)
#define FIELD_SOURCE(struct_, member_, need_, help_)  FIELD_EXPECT_(struct_, member_, PATH, SOURCE, help_, need_)
#define FIELD_PROGRAM(struct_, member_, need_, help_) FIELD_EXPECT_(struct_, member_, LIST, PROGRAM, help_, need_)
#define FIELD_END \
	{ \
		.member = NULL \
	}

/* Fills the struct at `ret` (cleared first) from `object`, which stands at `path` in problems->doc. Adds a problem for every unknown key
 * (with the nearest known one), missing required field, wrong type, value out of range. Strings are copied into ctx; json_t members are
 * borrowed from `object`. `ignore`: keys that another table reads (NULL-terminated, may be NULL).
 * `object` may be NULL (nothing was given). A member that is null counts as absent (but for ANY). An absent GROUP gets its members'
 * defaults. A number written otherwise than it reads (version: 1.10, doc_written) is refused where text is wanted. A required LIST has
 * at least one item.
 * SHARE is 0..1 and MS 0..10 years unless the table says otherwise. Messages show short values only, and never anything of a SECRET or a PASSWORD.
 * A value that contains "${" passes every type's check when `templates`, and is left zero: it is read again after expansion. */
void fields_parse(const void *ctx, const struct field *fields, json_t *object, const char *path, const char *const *ignore, bool templates,
	void *ret, struct problems *problems);

/* The name that users write. */
char *field_name(const void *ctx, const struct field *field);
/* The field that takes the content of a path (FIELD_PATH_OR); NULL: there is none. */
const struct field *field_content(const struct field *fields, const struct field *path);
/* Whether another field of the table is the path of this one's content. */
bool field_is_content(const struct field *fields, const struct field *field);
/* "a duration", "a list of strings": for messages, help and documentation. */
const char *field_type_name(enum field_type type);
/* The default as a value, typed as the field is ("3" of an INT is the number 3); new reference, NULL when there is none. */
json_t *field_default(const struct field *field);
/* JSON schema (2020-12) of an object with these fields; new reference. */
json_t *fields_schema(const struct field *fields);
/* For `unship drivers NAME --json`: [{name, type, required, default, choices, help}]; new reference. */
json_t *fields_json(const struct field *fields);
/* Markdown table rows for the reference. */
char *fields_markdown(const void *ctx, const struct field *fields);

#endif
