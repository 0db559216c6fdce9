/* Shapes: what an answer looks like, declared once as data beside the field tables that say what goes in. From a shape come the schemas of the OpenAPI document (and with them the types of the web
 * admin and of every client), the reference, and, in test builds, a check of every answer that is given.
 *
 *     static const struct shape flag_shape[] = {
 *             SHAPE_STR ("key", ALWAYS, "key of the flag"),
 *             SHAPE_TIME("changedAt", SOMETIMES, "when it was last changed"),
 *             SHAPE_LIST("variants", SOMETIMES, variant_shape, "its variants"),
 *             SHAPE_END
 *     };
 *
 * Names stand as they are sent. An object may not have members that its shape does not name.
 * An answer that is no object has a shape of one row without a name: SHAPE_LIST("", ALWAYS, item_shape, "..."). */
#ifndef DATA_SHAPE_H
#define DATA_SHAPE_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

enum shape_type {
	SHAPE_TYPE_STR,
	SHAPE_TYPE_TIME, /* RFC 3339 text */
	SHAPE_TYPE_INT,
	SHAPE_TYPE_REAL,
	SHAPE_TYPE_BOOL,
	SHAPE_TYPE_CHOICE,  /* text, one of `choices` ("a|b|c") */
	SHAPE_TYPE_STRINGS, /* list of text */
	SHAPE_TYPE_OBJECT,  /* with the members of `of` */
	SHAPE_TYPE_LIST,    /* of objects with the members of `of` */
	SHAPE_TYPE_MAP,     /* object with any keys; each value an object with the members of `of`, or anything when NULL */
	SHAPE_TYPE_ANY
};

struct shape {
	const char *name; /* NULL ends the table */
	enum shape_type type;
	bool always; /* present in every answer; null counts as absent */
	const char *choices;
	const struct shape *of;
	const char *help;
};

#define ALWAYS    true
#define SOMETIMES false
#define SHAPE_STR(name_, always_, help_) \
	{ \
		name_, SHAPE_TYPE_STR, always_, NULL, NULL, help_ \
	}
#define SHAPE_TIME(name_, always_, help_) \
	{ \
		name_, SHAPE_TYPE_TIME, always_, NULL, NULL, help_ \
	}
#define SHAPE_INT(name_, always_, help_) \
	{ \
		name_, SHAPE_TYPE_INT, always_, NULL, NULL, help_ \
	}
#define SHAPE_REAL(name_, always_, help_) \
	{ \
		name_, SHAPE_TYPE_REAL, always_, NULL, NULL, help_ \
	}
#define SHAPE_BOOL(name_, always_, help_) \
	{ \
		name_, SHAPE_TYPE_BOOL, always_, NULL, NULL, help_ \
	}
#define SHAPE_CHOICE(name_, always_, choices_, help_) \
	{ \
		name_, SHAPE_TYPE_CHOICE, always_, choices_, NULL, help_ \
	}
#define SHAPE_STRINGS(name_, always_, help_) \
	{ \
		name_, SHAPE_TYPE_STRINGS, always_, NULL, NULL, help_ \
	}
#define SHAPE_OBJECT(name_, always_, of_, help_) \
	{ \
		name_, SHAPE_TYPE_OBJECT, always_, NULL, of_, help_ \
	}
#define SHAPE_LIST(name_, always_, of_, help_) \
	{ \
		name_, SHAPE_TYPE_LIST, always_, NULL, of_, help_ \
	}
#define SHAPE_MAP(name_, always_, of_, help_) \
	{ \
		name_, SHAPE_TYPE_MAP, always_, NULL, of_, help_ \
	}
#define SHAPE_ANY(name_, always_, help_) \
	{ \
		name_, SHAPE_TYPE_ANY, always_, NULL, NULL, help_ \
	}
#define SHAPE_END \
	{ \
		.name = NULL \
	}

/* JSON schema (2020-12) of a value of this shape; new reference. */
json_t *shape_schema(const struct shape *members);
/* ERR_INTERNAL naming the first place that does not fit ("run.steps[2].attempts: a string, not an integer"). `value` may be NULL: then nothing may be ALWAYS. */
must_check int shape_check(const struct shape *members, json_t *value, struct err *err);

#endif
