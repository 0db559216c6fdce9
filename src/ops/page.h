/* Pages of lists that are told newest first. An operation that lists has the fields `limit` and `cursor`; its answer has `next` when there is more: the cursor of the page after it. A cursor stays good while
 * new rows come: it names a place in the journal. To callers it is a text without meaning. */
#ifndef OPS_PAGE_H
#define OPS_PAGE_H

#include "data/fields.h"
#include "data/json.h"
#include "store/store.h"

#define FIELD_CURSOR(struct_, member_) \
	FIELD_STR(struct_, member_, OPTIONAL, "go on from there: what `next` of the answer before said; from the newest when missing")
#define SHAPE_NEXT SHAPE_STR("next", SOMETIMES, "there is more: the cursor to ask for it with")

/* One row more is asked for than is wanted, to know whether there is one. ERR_INVALID for a cursor that is none. */
must_check int page_read(const char *cursor, int64_t limit, struct page *ret, struct err *err);
/* How many rows to show; *ret_more: there are others after them. */
size_t page_cut(const struct page *page, size_t count, bool *ret_more);
/* last_seq: of the last row that is shown. */
void page_next(json_t *answer, bool more, int64_t last_seq);

#endif
