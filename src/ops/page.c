/* Pages of lists: see page.h. Pure; any thread. */
#include "ops/page.h"

#include "base/text.h"

int page_read(const char *cursor, int64_t limit, struct page *ret, struct err *err)
{
	struct err why = ERR_INIT;

	*ret = (struct page){ .limit = (size_t)limit + 1 };
	if (cursor && text_parse_int(cursor, 1, INT64_MAX, &ret->before_seq, &why) < 0)
		return err_set(err, ERR_INVALID, "cursor: '%s' is none; it is what `next` of an answer said", cursor);
	return 0;
}

size_t page_cut(const struct page *page, size_t count, bool *ret_more)
{
	*ret_more = count >= page->limit;
	return *ret_more ? page->limit - 1 : count;
}

void page_next(json_t *answer, bool more, int64_t last_seq)
{
	if (more)
		json_object_set_new(answer, "next", json_sprintf("%lld", (long long)last_seq));
}
