/* The contracts of struct sql_ops and struct journal_ops as tests. An implementation is a way to open one in an empty folder. */
#ifndef CONTRACT_STORE_H
#define CONTRACT_STORE_H

#include "checks.h"
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "data/hash.h"
#include "data/json.h"
#include "store/store.h"

struct implementation {
	const char *name;
	int (*open)(const void *ctx, const char *folder, struct sql **ret, struct err *err);
};

struct contract_test {
	const char *name;
	void (*run)(const void *ctx, struct sql *sql);                 /* either: a fresh connection */
	void (*run_journal)(const void *ctx, struct journal *journal); /* or: an empty journal */
};

/* End with a NULL name. */
extern const struct contract_test sql_contract[];
extern const struct contract_test journal_contract[];

#endif
