/* Errors as RFC 9457 documents. The type is a page of this server's documentation for errors of the table (base/errors.def), about:blank for those that HTTP has words for itself. */
#include "base/log.h"
#include "data/json.h"
#include "surface/http/inner.h"

static const struct {
	int status;
	const char *title;
} titles[] = {
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 431, "Request Header Fields Too Large" },
	{ 503, "Service Unavailable" },
};

/* Those of HTTP where the status says more than the code does. */
static const char *title_of(int status, const struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
		if (titles[i].status == status && (err->code == ERR_USAGE || status != err_info(err->code)->http_status))
			return titles[i].title;
	return err_info(err->code)->text;
}

/* NULL: there is none, or the table's is about the command line. */
static const char *hint_of(const struct err *err)
{
	return err->advised || err->code == ERR_USAGE || err->code == ERR_NOT_FOUND ? NULL : err_info(err->code)->hint;
}

json_t *problem_json(const struct inner *inner, int status, const struct err *err, json_t *more)
{
	const struct err_info *info = err_info(err->code);
	bool own = status == info->http_status && err->code != ERR_USAGE;
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	json_t *problem = json_object(), *value;
	const char *name;

	json_put_str(problem, "type", own ? mem_printf(tmp, "/problems/%s", info->name) : "about:blank");
	json_put_str(problem, "title", title_of(status, err));
	json_put_int(problem, "status", status);
	json_put_str(problem, "detail", err->text);
	json_put_str(problem, "instance", mem_printf(tmp, "/requests/%s", inner->x.id));
	json_put_str(problem, "code", info->name);
	json_put_str(problem, "hint", hint_of(err));
	if (err->line) {
		json_put_int(problem, "line", err->line);
		json_put_int(problem, "column", err->column);
	}
	/* What an answer tells beside its error; the members above keep their meaning. */
	json_object_foreach(more, name, value)
		if (!json_object_get(problem, name))
			json_object_set(problem, name, value);
	return problem;
}

void exchange_answer_problem(struct exchange *x, int status, const struct err *err, json_t *more)
{
	struct inner *inner = INNER(x);
	json_t *problem = problem_json(inner, status, err, more);

	inner->error_code = err_info(err->code)->name;
	exchange_answer_json(x, status, json_keep(x->ctx, problem));
	x->type = "application/problem+json";
	x->no_etag = true;
}

void exchange_fail(struct inner *inner, const struct err *err)
{
	struct exchange *x = &inner->x;
	int status = err_info(err->code)->http_status;

	if (status >= 500)
		log_err(err->code == ERR_INTERNAL || err->code == ERR_STORE ? LOG_ERROR : LOG_WARN, err);
	if (status == 401)
		exchange_add_header(x, "WWW-Authenticate", "Bearer realm=\"unship\"");
	exchange_answer_problem(x, status, err, NULL);
}
