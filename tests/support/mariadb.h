/* A MariaDB server of a test's own: on a unix socket in a folder of its own, without network, ended with the test. It must be installed: without it the test fails. */
#ifndef TESTS_MARIADB_H
#define TESTS_MARIADB_H

#include "base/mem.h"
#include "base/proc.h"

struct mariadb_server {
	char *dir, *socket;
	int port; /* of 127.0.0.1; 0: it does not listen there */
	struct proc proc;
};

/* Ready when it returns; user root has no password. */
struct mariadb_server *mariadb_server_start(const void *ctx);
/* From now on also at a free port of 127.0.0.1, for programs that know no sockets; it is started anew. */
void mariadb_server_listen(struct mariadb_server *server);
void mariadb_server_stop(struct mariadb_server *server); /* and its folder */
/* What the client prints to these statements: a line per row, values with tabs between. An error fails the test. */
char *mariadb_say(struct mariadb_server *server, const char *statements);

#endif
