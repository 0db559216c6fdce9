/* libmicrohttpd and GnuTLS, opened when a server starts: linking them would cost every start of the program some milliseconds and every worker their memory. */
#ifndef SURFACE_HTTP_LIBRARY_H
#define SURFACE_HTTP_LIBRARY_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>

#include "base/err.h"

#define HTTP_FUNCTIONS(F) \
	F(MHD_start_daemon) \
	F(MHD_stop_daemon) \
	F(MHD_quiesce_daemon) \
	F(MHD_get_connection_values_n) \
	F(MHD_get_connection_info) \
	F(MHD_set_connection_option) \
	F(MHD_suspend_connection) \
	F(MHD_resume_connection) \
	F(MHD_create_response_from_buffer) \
	F(MHD_create_response_from_callback) \
	F(MHD_destroy_response) \
	F(MHD_add_response_header) \
	F(MHD_queue_response)

#define TLS_FUNCTIONS(F) \
	F(gnutls_pcert_list_import_x509_raw) \
	F(gnutls_pcert_deinit) \
	F(gnutls_privkey_init) \
	F(gnutls_privkey_import_x509_raw) \
	F(gnutls_privkey_deinit) \
	F(gnutls_pubkey_init) \
	F(gnutls_pubkey_import_privkey) \
	F(gnutls_pubkey_import_rsa_raw) \
	F(gnutls_pubkey_import_ecc_raw) \
	F(gnutls_pubkey_verify_data2) \
	F(gnutls_pubkey_deinit) \
	F(gnutls_pubkey_get_key_id) \
	F(gnutls_strerror)

struct http_library {
#define LIBRARY_MEMBER(name) __typeof__(&name) name;
	HTTP_FUNCTIONS(LIBRARY_MEMBER)
	TLS_FUNCTIONS(LIBRARY_MEMBER)
#undef LIBRARY_MEMBER
};
/* Filled by http_library_load; read-only after. */
extern struct http_library lib;
/* ERR_UNSUPPORTED names what is missing. */
must_check int http_library_load(struct err *err);

#endif
