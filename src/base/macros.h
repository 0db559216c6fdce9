/* Attributes and small macros that every file may use. */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <stdio.h>

#include "base/banned.h"

#define printf_like(text, first) __attribute__((__format__(__printf__, text, first)))
#define must_check               __attribute__((warn_unused_result))
#define unused_arg               __attribute__((unused))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))

/* Asserts stay on in release: a broken invariant must stop the program before it does harm. The journal makes stopping safe. */
#define assert_always(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))
__attribute__((noreturn)) void assert_failed(const char *condition, const char *file, int line);

/* _cleanup_(f) runs f(&variable) when the variable leaves its block. */
#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_close_     _cleanup_(cleanup_close)
#define _cleanup_free_      _cleanup_(cleanup_free)
#define _cleanup_fclose_    _cleanup_(cleanup_fclose)
#define _cleanup_talloc_    _cleanup_(cleanup_talloc)

void cleanup_close(int *fd);      /* closes if >= 0, keeps errno */
void cleanup_free(void *pointer); /* pointer to a malloc'ed pointer */
void cleanup_fclose(FILE **file);
void cleanup_talloc(void *pointer); /* pointer to a talloc pointer */

/* Takes the value out of a variable so that its cleanup finds nothing. */
#define take_pointer(variable) \
	({ \
		__typeof__(variable) taken_ = (variable); \
		(variable) = NULL; \
		taken_; \
	})
#define take_fd(variable) \
	({ \
		int taken_ = (variable); \
		(variable) = -1; \
		taken_; \
	})

#endif
