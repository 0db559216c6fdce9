/* hash.c against published values: SHA-256 (FIPS 180-2, "abc"), BLAKE2b-256. */
#include <fcntl.h>
#include "checks.h"

#include <sys/stat.h>

#include "data/hash.h"

#define ABC_BLAKE2B "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"

static void known_values(void **state)
{
	char hex[HASH_HEX_SIZE];

	hash_sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_blake2b_hex("abc", 3, hex);
	assert_string_equal(hex, ABC_BLAKE2B);
}

static void write_file(const char *path, const char *bytes, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
}

static void files(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	char dir[] = "/tmp/unship-test-hash-XXXXXX", hex[HASH_HEX_SIZE], expected[HASH_HEX_SIZE];
	struct err err = ERR_INIT;
	const size_t large = 700000; /* several blocks and a rest */
	char *path, *link, *fifo, *bytes;
	uint64_t size;

	assert_non_null(mkdtemp(dir));
	path = mem_printf(ctx, "%s/file", dir);
	link = mem_printf(ctx, "%s/link", dir);
	fifo = mem_printf(ctx, "%s/fifo", dir);
	write_file(path, "abc", 3);
	assert_int_equal(hash_blake2b_file(path, hex, &size, &err), 0);
	assert_string_equal(hex, ABC_BLAKE2B);
	assert_int_equal(size, 3);

	bytes = mem_array(ctx, char, large);
	memset(bytes, 'x', large);
	write_file(path, bytes, large);
	hash_blake2b_hex(bytes, large, expected);
	assert_int_equal(hash_blake2b_file(path, hex, NULL, &err), 0);
	assert_string_equal(hex, expected);

	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(hash_blake2b_file(link, hex, NULL, &err), -ERR_INVALID);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(hash_blake2b_file(fifo, hex, NULL, &err), -ERR_INVALID);
	assert_int_equal(hash_blake2b_file(dir, hex, NULL, &err), -ERR_INVALID);
	unlink(path);
	assert_int_equal(hash_blake2b_file(path, hex, NULL, &err), -ERR_NOT_FOUND);
	unlink(link);
	unlink(fifo);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_values), cmocka_unit_test(files) };

	hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
