// What is kept of a child's output, against the plain rule: first and last bytes.
#include "base/file.h"
#include "worker/capture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD 10
#define TAIL 7

static char *run(size_t total, size_t piece, uint64_t *dropped)
{
	struct gt_capture c = {.log = memfd_create("log", 0), .head_max = HEAD, .tail_max = TAIL};
	char text[256], *kept = gt_zalloc(512, 1);
	for (size_t i = 0; i < total; i++)
		text[i] = (char)('a' + i % 26);
	for (size_t at = 0; at < total; at += piece)
		gt_capture_add(&c, text + at, total - at < piece ? total - at : piece);
	gt_capture_add(&c, text, 0);
	assert_int_equal(c.total, total);
	*dropped = gt_capture_end(&c);
	assert_null(c.tail);
	assert_true(pread(c.log, kept, 511, 0) >= 0);
	close(c.log);
	return kept;
}

static void test_against_the_rule(void **state)
{
	(void)state;
	for (size_t total = 0; total <= 80; total++) {
		char whole[256] = "", wanted[512];
		for (size_t i = 0; i < total; i++)
			whole[i] = (char)('a' + i % 26);
		size_t missing = total > HEAD + TAIL ? total - HEAD - TAIL : 0;
		if (missing)
			snprintf(wanted, sizeof wanted, "%.*s\n[... %zu bytes left out ...]\n%s", HEAD, whole,
			         missing, whole + total - TAIL);
		else
			strcpy(wanted, whole);
		for (size_t piece = 1; piece <= 81; piece++) {
			uint64_t dropped;
			char *kept = run(total, piece, &dropped);
			assert_int_equal(dropped, missing);
			assert_string_equal(kept, wanted);
			free(kept);
		}
	}
}

// A capture that has ended takes what comes next as if it were the first.
static void test_again(void **state)
{
	(void)state;
	char kept[256] = "";
	struct gt_capture c = {.log = memfd_create("again", 0), .head_max = HEAD, .tail_max = TAIL};
	for (int round = 0; round < 3; round++) {
		off_t begin = lseek(c.log, 0, SEEK_CUR);
		gt_capture_add(&c, "0123456789abcdefghijklmnopqrstuvwxyz", 36);
		assert_int_equal(c.total, 36);
		assert_int_equal(gt_capture_end(&c), 36 - HEAD - TAIL);
		assert_int_equal(gt_capture_end(&c), 0);
		memset(kept, 0, sizeof kept);
		assert_true(pread(c.log, kept, sizeof kept - 1, begin) > HEAD + TAIL);
		assert_memory_equal(kept, "0123456789abcdefghijklmnopqrstuvwxyz", HEAD);
		assert_int_equal(kept[strlen(kept) - 1], 'z');
	}
	close(c.log);
}

static void test_full_file(void **state)
{
	(void)state;
	struct gt_capture c = {.log = open("/dev/full", O_WRONLY), .head_max = HEAD,
	                       .tail_max = TAIL};
	gt_capture_add(&c, "0123456789abcdefghijklmnop", 26); // it goes on draining
	assert_int_equal(c.total, 26);
	assert_int_equal(gt_capture_end(&c), 26 - HEAD - TAIL);
	close(c.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_the_rule),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_full_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
