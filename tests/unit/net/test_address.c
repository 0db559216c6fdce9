/* Which addresses a request may go to. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include "checks.h"

#include "net/address.h"

static enum address_class class_of(const char *text)
{
	struct sockaddr_in ip4 = { .sin_family = AF_INET };
	struct sockaddr_in6 ip6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &ip4.sin_addr) == 1)
		return address_classify((struct sockaddr *)&ip4, sizeof(ip4));
	assert_int_equal(inet_pton(AF_INET6, text, &ip6.sin6_addr), 1);
	return address_classify((struct sockaddr *)&ip6, sizeof(ip6));
}

static void test_ranges(void **state)
{
	static const struct {
		const char *address;
		enum address_class class;
	} rows[] = {
		{ "93.184.216.34", ADDRESS_PUBLIC },
		{ "172.15.255.255", ADDRESS_PUBLIC },
		{ "172.32.0.0", ADDRESS_PUBLIC },
		{ "169.253.255.255", ADDRESS_PUBLIC },
		{ "169.255.0.0", ADDRESS_PUBLIC },
		{ "2606:2800:220:1::1", ADDRESS_PUBLIC },
		{ "127.0.0.1", ADDRESS_LOCAL },
		{ "127.255.255.255", ADDRESS_LOCAL },
		{ "0.0.0.0", ADDRESS_LOCAL },
		{ "10.0.0.1", ADDRESS_LOCAL },
		{ "172.16.0.1", ADDRESS_LOCAL },
		{ "172.31.255.255", ADDRESS_LOCAL },
		{ "192.168.1.1", ADDRESS_LOCAL },
		{ "100.64.0.1", ADDRESS_LOCAL },
		{ "::1", ADDRESS_LOCAL },
		{ "::", ADDRESS_LOCAL },
		{ "fc00::1", ADDRESS_LOCAL },
		{ "fd12::1", ADDRESS_LOCAL },
		{ "::ffff:127.0.0.1", ADDRESS_LOCAL },
		{ "64:ff9b::10.0.0.1", ADDRESS_LOCAL },
		{ "2002:7f00:1::", ADDRESS_LOCAL },
		{ "169.254.169.254", ADDRESS_NEVER },
		{ "169.254.0.0", ADDRESS_NEVER },
		{ "169.254.255.255", ADDRESS_NEVER },
		{ "100.100.100.200", ADDRESS_NEVER },
		{ "224.0.0.1", ADDRESS_NEVER },
		{ "255.255.255.255", ADDRESS_NEVER },
		{ "fe80::1", ADDRESS_NEVER },
		{ "febf::1", ADDRESS_NEVER },
		{ "fd00:ec2::254", ADDRESS_NEVER },
		{ "ff02::1", ADDRESS_NEVER },
		{ "::ffff:169.254.169.254", ADDRESS_NEVER },
		{ "64:ff9b::169.254.169.254", ADDRESS_NEVER },
		{ "2002:a9fe:a9fe::", ADDRESS_NEVER },
		{ "::169.254.169.254", ADDRESS_NEVER },
		{ "::ffff:93.184.216.34", ADDRESS_PUBLIC },
		{ "fd00:ec2::253", ADDRESS_LOCAL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (class_of(rows[i].address) != rows[i].class)
			fail_msg("%s: class %d, expected %d", rows[i].address, class_of(rows[i].address), rows[i].class);
}

static void test_unknown_family(void **state)
{
	struct sockaddr address = { .sa_family = AF_PACKET };
	struct sockaddr_in cut = { .sin_family = AF_INET };

	assert_int_equal(address_classify(&address, sizeof(address)), ADDRESS_NEVER);
	assert_int_equal(address_classify((struct sockaddr *)&cut, 4), ADDRESS_NEVER);
}

static void test_connect(void **state)
{
	struct sockaddr_in ip = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(ip);
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM, 0), fd = -1;
	struct err err = ERR_INIT;
	int none = -1;

	assert_int_equal(bind(listener, (struct sockaddr *)&ip, sizeof(ip)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&ip, &length), 0);
	assert_int_equal(address_connect("127.0.0.1", ntohs(ip.sin_port), true, 5000, &none, &err), -ERR_UNREACHABLE);
	assert_non_null(strstr(err.text, "refused"));
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(address_connect("127.0.0.1", ntohs(ip.sin_port), false, 5000, &none, &err), -ERR_REFUSED);
	assert_int_equal(address_connect("169.254.169.254", 80, true, 5000, &none, &err), -ERR_REFUSED);
	assert_non_null(strstr(err.text, "169.254.169.254"));
	assert_int_equal(address_connect("127.0.0.1", 0, true, 5000, &none, &err), -ERR_INVALID);
	assert_int_equal(none, -1);
	assert_int_equal(address_connect("127.0.0.1", ntohs(ip.sin_port), true, 5000, &fd, &err), 0);
	assert_true(fd >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_unknown_family),
		cmocka_unit_test(test_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
