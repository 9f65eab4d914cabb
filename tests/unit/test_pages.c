// Huge pages for what a host has loaded: nothing changes but what a fork costs.
#include "worker/pages.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HUGE ((size_t)2 << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

// Two huge pages' room of small pages, at the beginning of one; the first half of each in use is `used`.
static unsigned char *make(size_t used)
{
	unsigned char *all = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(all, MAP_FAILED);
	unsigned char *block = (unsigned char *)(((uintptr_t)all + HUGE - 1) / HUGE * HUGE);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); // not by the system, that is
	for (size_t at = 0; at < 2 * HUGE; at += 4096)
		if (at % HUGE < used)
			memset(block + at, (int)(at / 4096 % 251), 4096);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	return block;
}

// KiB of huge pages in the mapping at `block`, and of all its pages.
static void look(const unsigned char *block, long *huge, long *resident)
{
	char line[512];
	bool within = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	*huge = *resident = -1;
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		uintptr_t begin, end;
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			within = begin <= (uintptr_t)block && (uintptr_t)block < end;
		else if (within && strncmp(line, "Rss:", 4) == 0)
			*resident = strtol(line + 4, NULL, 10);
		else if (within && strncmp(line, "AnonHugePages:", 14) == 0)
			*huge = strtol(line + 14, NULL, 10);
	}
	fclose(f);
}

static bool is_as_written(const unsigned char *block, size_t used)
{
	for (size_t at = 0; at < 2 * HUGE; at++)
		if (block[at] != (at % HUGE < used ? at / 4096 % 251 : 0))
			return false;
	return true;
}

static void test_full(void **state)
{
	(void)state;
	int rc = -1;
	for (int i = 0; i < 20 && rc != 0; i++) // what is short just now comes again
		rc = madvise(make(HUGE), HUGE, MADV_COLLAPSE);
	if (rc != 0) {
		print_message("skipped: this system does not collapse pages on request: %s\n",
		              strerror(errno));
		skip();
	}
	unsigned char *block = make(HUGE);
	long huge = 0, resident;
	size_t count = 0;
	for (int i = 0; i < 20 && huge < 4096; i++) {
		count += gt_pages_collapse();
		look(block, &huge, &resident);
	}
	assert_true(count >= 2);
	assert_true(huge >= 4096);
	assert_true(is_as_written(block, HUGE));
	// Who writes after a fork writes into a copy of its own.
	pid_t pid = fork();
	if (pid == 0) {
		block[5] = 7;
		_exit(is_as_written(block, HUGE) ? 1 : 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(is_as_written(block, HUGE));
}

// Memory that nothing is in is not paid for.
static void test_sparse(void **state)
{
	(void)state;
	size_t used = HUGE / 8;
	unsigned char *block = make(used);
	long huge, before, after;
	look(block, &huge, &before);
	(void)gt_pages_collapse();
	look(block, &huge, &after);
	assert_int_equal(huge, 0);
	assert_int_equal(after, before);
	assert_true(is_as_written(block, used));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
