/* The drivers that the contract suite runs over. One line each. */
#include "contract.h"

extern const struct contract contract_git_release, contract_process, contract_command, contract_flags, contract_files, contract_sqlite,
	contract_symlink;

const struct contract *const contracts[] = {
	&contract_git_release,
	&contract_process,
	&contract_files,
	&contract_sqlite,
	&contract_flags,
	&contract_command,
	&contract_symlink,
	NULL,
};
