/* The drivers that the contract suite runs over. One line each. */
#include "contract.h"

extern const struct contract contract_git_release, contract_process, contract_command, contract_flags, contract_files, contract_sqlite,
	contract_symlink, contract_mysql, contract_mongodb, contract_postgres, contract_postgres_switch, contract_postgres_absent,
	contract_postgres_tables, contract_redis, contract_redis_queue, contract_drain;

const struct contract *const contracts[] = {
	&contract_git_release,
	&contract_process,
	&contract_files,
	&contract_sqlite,
	&contract_postgres,
	&contract_postgres_switch,
	&contract_postgres_absent,
	&contract_postgres_tables,
	&contract_mysql,
	&contract_mongodb,
	&contract_redis,
	&contract_redis_queue,
	&contract_drain,
	&contract_flags,
	&contract_command,
	&contract_symlink,
	NULL,
};
