// Fingerprints: the published values, and files of every size around the reading step.
#include "base/file.h"
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gauntlet-hash-XXXXXX";

static int begin(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

// Records of other machines and of later versions must fit ours, so the function is pinned.
static void values_are_pinned(void **state)
{
	(void)state;
	char hash[GT_HASH_SIZE];
	gt_hash_bytes("", 0, hash);
	assert_string_equal(hash, "99aa06d3014798d86001c324468d497f");
	gt_hash_bytes("a", 1, hash);
	assert_string_equal(hash, "a96faf705af16834e6c632b61e964e1f");
	gt_hash_bytes("gauntlet", 8, hash);
	assert_string_equal(hash, "9d1f620f564f709797889e66f623eb95");
	assert_true(gt_hash64("", 0) == UINT64_C(0x2d06800538d394c2));
	assert_true(gt_hash64("gauntlet", 8) == UINT64_C(0x9817f8e802bae6a9));
}

static void a_file_is_its_bytes(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 239, 240, 241, 65535, 65536, 65537, 200000};
	char *path = gt_path_join(folder, "file");
	char *bytes = gt_alloc(200000);
	for (size_t i = 0; i < 200000; i++)
		bytes[i] = (char)(i * 31 + i / 251);
	for (size_t i = 0; i < GT_COUNTOF(sizes); i++) {
		char whole[GT_HASH_SIZE], read[GT_HASH_SIZE];
		uint64_t size = 77;
		gt_hash_bytes(bytes, sizes[i], whole);
		assert_int_equal(gt_file_write(path, bytes, sizes[i], NULL), GT_OK);
		assert_int_equal(gt_hash_file(path, read, &size, NULL), GT_OK);
		assert_string_equal(read, whole);
		assert_int_equal(size, sizes[i]);
		assert_int_equal(gt_hash_file(path, read, NULL, NULL), GT_OK);
		assert_int_equal(strlen(read), GT_HASH_SIZE - 1);
	}
	free(bytes);
	free(path);
}

static void what_is_no_file_has_no_hash(void **state)
{
	(void)state;
	char hash[GT_HASH_SIZE];
	struct gt_err err = {0};
	char *gone = gt_path_join(folder, "gone"), *pipe = gt_path_join(folder, "pipe");
	assert_int_equal(gt_hash_file(gone, hash, NULL, &err), GT_NOT_FOUND);
	assert_non_null(strstr(err.text, "gone"));
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(gt_hash_file(pipe, hash, NULL, NULL), GT_BAD_DATA); // and does not wait
	assert_true(gt_hash_file(folder, hash, NULL, NULL) != GT_OK);
	free(gone);
	free(pipe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_pinned),
		cmocka_unit_test(a_file_is_its_bytes),
		cmocka_unit_test(what_is_no_file_has_no_hash),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
