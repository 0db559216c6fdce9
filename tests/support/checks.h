/* What every C test includes: cmocka with the headers that it wants before it, and checks of calls whose last parameter is &error. */
#ifndef TESTS_CHECKS_H
#define TESTS_CHECKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_ok(call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, error.text); \
	} while (0)
#define assert_fails(call, expected) \
	do { \
		int result_ = (call); \
		if (result_ != -(int)(expected)) \
			fail_msg("%s: %d, expected %d: %s", #call, result_, -(int)(expected), error.text); \
		assert_int_equal(error.code, (expected)); \
	} while (0)

#endif
