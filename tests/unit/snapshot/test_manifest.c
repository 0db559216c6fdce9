/* Manifests: there is one text for a content, and nothing in one can lead elsewhere. */
#include "checks.h"

#include "data/hash.h"
#include "data/json.h"
#include "snapshot/manifest.h"

#define HEAD(items)  "unship manifest 1\nproject shop\nsnapshot run-1\ncontent sealed 4194304\nitems " items "\n"
#define CLEAR(items) "unship manifest 1\nproject shop\nsnapshot run-1\ncontent clear 0\nitems " items "\n"
#define ID_A         "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ID_B         "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static int parse(const void *ctx, const char *text, struct manifest **ret, struct err *err)
{
	*err = ERR_INIT;
	return manifest_parse(ctx, mem_strdup(ctx, text), strlen(text), ret, err);
}

static void test_same_text(unused_arg void **state)
{
	static const char *const good[] = {
		HEAD("0 0 0") "end\n", HEAD("2 1 0") "d 0755 a\nf 0000 0 a/b -\nend\n",
		HEAD("1 1 4194305") "f 7777 4194305 large " ID_A "," ID_B "\nend\n",
		CLEAR("1 1 4194305") "f 0644 4194305 large " ID_A "\nend\n",
		HEAD("3 0 0") "l a ../../etc/passwd\nl b\\x20\\x0a\\x5c\\x7f\xff x\\x01\nd 0000 c\nend\n",
		HEAD("4 0 0") "d 0700 a\nl a/b x\nl a-b x\nl b x\nend\n", /* '/' before '-' */
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct manifest *manifest;
		struct err error;
		size_t size;

		assert_ok(parse(ctx, good[i], &manifest, &error));
		assert_string_equal(manifest_write(ctx, manifest, &size), good[i]);
		assert_int_equal(size, strlen(good[i]));
	}
}

static void test_refused(unused_arg void **state)
{
	static const char *const bad[] = {
		"",
		"unship manifest 1\n",
		"unship manifest 0\n",
		"unship manifest 01\n",
		HEAD("0 0 0"),
		HEAD("0 0 0") "end",
		HEAD("0 0 0") "end\n\n",
		HEAD("0 0 0") "end\nend\n",
		HEAD("1 0 0") "end\n",
		HEAD("0 0 0 ") "end\n",
		HEAD("0 0") "end\n",
		HEAD("999999 0 0") "end\n",
		"unship manifest 1\nproject shop\nsnapshot run-1\ncontent odd 0\nitems 0 0 0\nend\n",
		"unship manifest 1\nproject \nsnapshot run-1\ncontent clear 0\nitems 0 0 0\nend\n",
		/* paths */
		HEAD("1 0 0") "l ../x y\nend\n",
		HEAD("1 0 0") "l /x y\nend\n",
		HEAD("1 0 0") "l . y\nend\n",
		HEAD("1 0 0") "l x/ y\nend\n",
		HEAD("2 0 0") "d 0700 a\nl a/../x y\nend\n",
		HEAD("2 0 0") "d 0700 a\nl a//x y\nend\n",
		HEAD("2 0 0") "d 0700 a\nl a/./x y\nend\n",
		HEAD("1 0 0") "l \\x2e\\x2e y\nend\n",
		HEAD("1 0 0") "l a\\x00b y\nend\n",
		HEAD("1 0 0") "l a\\x0A y\nend\n",
		HEAD("1 0 0") "l a\\n y\nend\n",
		HEAD("1 0 0") "l a\tb y\nend\n",
		/* through a link or a file, or in no folder */
		HEAD("2 0 0") "l a /etc\nl a/passwd y\nend\n",
		HEAD("2 1 0") "f 0644 0 a -\nl a/b y\nend\n",
		HEAD("1 0 0") "l a/b y\nend\n",
		HEAD("3 0 0") "d 0700 a\nl b x\nl b/c x\nend\n",
		/* order */
		HEAD("2 0 0") "l b y\nl a y\nend\n",
		HEAD("2 0 0") "l a y\nl a y\nend\n",
		HEAD("3 0 0") "d 0700 a\nl a-b x\nl a/b x\nend\n",
		/* items */
		HEAD("1 0 0") "x 0700 a\nend\n",
		HEAD("1 0 0") "d 700 a\nend\n",
		HEAD("1 0 0") "d 0788 a\nend\n",
		HEAD("1 0 0") "d 0700 a b\nend\n",
		HEAD("1 0 0") "l a\nend\n",
		HEAD("1 0 0") "l a \nend\n",
		HEAD("1 1 0") "f 0644 0 a\nend\n",
		HEAD("1 1 1") "f 0644 1 a -\nend\n",
		HEAD("1 1 0") "f 0644 0 a " ID_A "\nend\n",
		HEAD("1 1 1") "f 0644 1 a " ID_A "," ID_B "\nend\n",
		HEAD("1 1 4194305") "f 0644 4194305 a " ID_A "\nend\n",
		HEAD("1 1 1") "f 0644 01 a " ID_A "\nend\n",
		HEAD("1 1 1") "f 0644 1 a " ID_A "0\nend\n",
		HEAD("1 1 4194305") "f 0644 4194305 a " ID_A "-" ID_B "\nend\n",
		HEAD("1 1 2") "f 0644 1 a " ID_A "\nend\n",
		HEAD("1 0 1") "f 0644 1 a " ID_A "\nend\n",
		HEAD("1 1 99999999999999999") "f 0644 99999999999999999 a " ID_A "\nend\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct manifest *manifest = NULL;
		struct err error;

		if (parse(ctx, bad[i], &manifest, &error) != -ERR_CORRUPT)
			fail_msg("%zu was not refused: %s", i, bad[i]);
		assert_null(manifest);
	}
}

static void test_limits(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char *deep = mem_strdup(ctx, ""), *path = mem_strdup(ctx, "a");
	struct manifest *manifest;
	struct err error;

	assert_fails(parse(ctx, "unship manifest 2\n", &manifest, &error), ERR_NEWER);
	assert_fails(parse(ctx, HEAD("1000001 0 0") "end\n", &manifest, &error), ERR_TOO_LARGE);
	for (int i = 0; i < 65; i++) {
		deep = mem_appendf(deep, "d 0700 %s\n", path);
		if (i == 63)
			assert_ok(parse(ctx, mem_printf(ctx, HEAD("64 0 0") "%send\n", deep), &manifest, &error));
		path = mem_append(path, "/a");
	}
	assert_fails(parse(ctx, mem_printf(ctx, HEAD("65 0 0") "%send\n", deep), &manifest, &error), ERR_CORRUPT);
	path = mem_array(ctx, char, 300);
	memset(path, 'x', 256);
	assert_fails(parse(ctx, mem_printf(ctx, HEAD("1 0 0") "d 0700 %s\nend\n", path), &manifest, &error), ERR_CORRUPT);
}

static void test_below(unused_arg void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct manifest *manifest;
	struct err error;
	size_t first;

	assert_ok(parse(ctx, HEAD("5 0 0") "d 0700 a\nd 0700 a/b\nl a/b/c x\nl a/b-c x\nl ab x\nend\n", &manifest, &error));
	assert_int_equal(manifest_below(manifest, NULL, &first), 5);
	assert_int_equal(manifest_below(manifest, "a", &first), 4);
	assert_int_equal(first, 0);
	assert_int_equal(manifest_below(manifest, "a/b", &first), 2);
	assert_int_equal(first, 1);
	assert_int_equal(manifest_below(manifest, "ab", &first), 1);
	assert_int_equal(manifest_below(manifest, "b", &first), 0);
	assert_int_equal(manifest_below(manifest, "a/b/c/d", &first), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_text),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_below),
	};

	json_setup();
	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
