/* What identity.c and the operations on principals and tokens share. Not for others. */
#ifndef OPS_PEOPLE_H
#define OPS_PEOPLE_H

#include "data/credential.h"
#include "ops/identity.h"
#include "ops/operation.h"
#include "store/access.h"

#define TOKEN_PREFIX "unship_" /* how tokens begin, so that people and scanners know one when they see it */

/* A principal as the store knows it now, with all that it was granted. ERR_FORBIDDEN when it was removed. */
must_check int principal_read(struct store *store, const void *ctx, const char *id, struct principal **ret, struct err *err);

#endif
