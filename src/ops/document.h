/* Documents that a caller gives to an operation: plans, definitions of flags. */
#ifndef OPS_DOCUMENT_H
#define OPS_DOCUMENT_H

#include "data/doc.h"
#include "ops/operation.h"

/* Either `path`, a file of this machine, or `content`: the document itself, or {"file": NAME, "text": YAML or JSON}, which is how somebody whose files are elsewhere sends one: messages then name the file and the
 * place in it. `what` it is, for messages: "plan". ERR_USAGE when both or neither are given. */
must_check int document_read(const void *ctx, const char *path, json_t *content, const char *what, struct doc **ret, struct err *err);
/* {"file", "text"} of a file; kept in ctx. What document_read would refuse is refused. */
must_check int document_pack(const void *ctx, const char *path, json_t **ret, struct err *err);

#endif
