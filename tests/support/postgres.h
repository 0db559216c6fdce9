/* A PostgreSQL server of a test's own: on a unix socket in a folder of its own, without network, ended with the test. It must be installed: without it the test fails. As root it runs as the user postgres, or nobody. */
#ifndef TESTS_POSTGRES_H
#define TESTS_POSTGRES_H

#include "base/mem.h"
#include "base/proc.h"

struct postgres_server {
	char *dir; /* the socket's too: "host" of a connection */
	char *bin; /* its programs */
	int port;  /* of its socket, and of 127.0.0.1 when it listens there */
	struct proc proc;
};

#define POSTGRES_PASSWORD "let me in" /* of the superuser postgres; nobody gets in without one */

/* Ready when it returns. */
struct postgres_server *postgres_server_start(const void *ctx);
void postgres_server_stop(struct postgres_server *server); /* and its folder */
/* Ends it at once, as a crash does, and starts it again. */
void postgres_server_kill(struct postgres_server *server);
void postgres_server_again(struct postgres_server *server);
/* From now on also at a free port of 127.0.0.1, for programs that know no sockets; it is started anew. */
void postgres_server_listen(struct postgres_server *server);
/* What psql prints to these statements: a line per row, values with | between. An error fails the test. */
char *postgres_say(struct postgres_server *server, const char *database, const char *statements);

#endif
