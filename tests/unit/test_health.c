// What a host sees of itself: one thread, the descriptors and the memory that it began with.
#include "base/clock.h"
#include "worker/health.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static enum gt_surprise look(const struct gt_health *before, const int *borrowed, size_t count,
                             char text[128])
{
	struct gt_health now;
	gt_health_take(&now, borrowed, count);
	return gt_health_compare(before, &now, text, 128);
}

static void test_descriptors(void **state)
{
	(void)state;
	char text[128];
	struct gt_health before;
	int kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
	gt_health_take(&before, NULL, 0);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
	assert_string_equal(text, "");
	int more[2];
	assert_int_equal(pipe2(more, O_CLOEXEC), 0);
	assert_int_equal(look(&before, more, 2, text), GT_SURPRISE_NONE);
	assert_int_equal(look(&before, more, 1, text), GT_SURPRISE_DESCRIPTOR);
	assert_non_null(strstr(text, "it holds other descriptors than when it began ("));
	close(more[0]);
	close(more[1]);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
	// As many, but not the same.
	int moved = fcntl(kept, F_DUPFD_CLOEXEC, 100);
	close(kept);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_DESCRIPTOR);
	close(moved);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_DESCRIPTOR);
}

// As many, with the same sum of numbers.
static void test_descriptors_of_equal_sum(void **state)
{
	(void)state;
	char text[128];
	struct gt_health before;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int low = fcntl(null, F_DUPFD_CLOEXEC, 104), high = fcntl(null, F_DUPFD_CLOEXEC, 105);
	gt_health_take(&before, NULL, 0);
	int lower = fcntl(null, F_DUPFD_CLOEXEC, 103), higher = fcntl(null, F_DUPFD_CLOEXEC, 106);
	assert_int_equal(lower + higher, low + high);
	close(low);
	close(high);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_DESCRIPTOR);
	assert_non_null(strstr(text, "it holds other descriptors than when it began ("));
	assert_int_equal(fcntl(null, F_DUPFD_CLOEXEC, 104), low);
	assert_int_equal(fcntl(null, F_DUPFD_CLOEXEC, 105), high);
	close(lower);
	close(higher);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
	close(low);
	close(high);
	close(null);
}

// The same number, for something else.
static void test_descriptor_replaced(void **state)
{
	(void)state;
	char text[128];
	struct gt_health before;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	gt_health_take(&before, NULL, 0);
	int again = open("/dev/null", O_RDONLY | O_CLOEXEC), other = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup3(again, fd, O_CLOEXEC), fd);
	close(again);
	int kept = other;
	assert_int_equal(look(&before, &kept, 1, text), GT_SURPRISE_NONE);
	assert_int_equal(dup3(other, fd, O_CLOEXEC), fd);
	close(other);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_DESCRIPTOR);
	// Two descriptors that change places are not what they were, either.
	int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	gt_health_take(&before, NULL, 0);
	int aside = fcntl(a, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(dup3(b, a, O_CLOEXEC), a);
	assert_int_equal(dup3(aside, b, O_CLOEXEC), b);
	close(aside);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_DESCRIPTOR);
	close(a);
	close(b);
	close(fd);
}

// What is shared with other processes is gathered all the same.
static void test_shared_memory(void **state)
{
	(void)state;
	char text[128];
	struct gt_health before;
	size_t size = (size_t)GT_HEALTH_GROWTH + (8 << 20);
	gt_health_take(&before, NULL, 0);
	char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
	memset(bytes, 1, size);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_MEMORY);
	munmap(bytes, size);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
}

// Memory that is only mapped is not gathered.
static void test_memory(void **state)
{
	(void)state;
	char text[128];
	struct gt_health before;
	size_t size = (size_t)GT_HEALTH_GROWTH + (8 << 20);
	gt_health_take(&before, NULL, 0);
	char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
	memset(bytes, 1, size / 2);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
	memset(bytes, 1, size);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_MEMORY);
	assert_non_null(strstr(text, "its memory grew by 4"));
	munmap(bytes, size);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_NONE);
}

static void *wait_for(void *lock)
{
	pthread_mutex_lock(lock);
	pthread_mutex_unlock(lock);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	char text[128];
	pthread_t thread;
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct gt_health before;
	gt_health_take(&before, NULL, 0);
	pthread_mutex_lock(&lock);
	assert_int_equal(pthread_create(&thread, NULL, wait_for, &lock), 0);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_THREAD);
	assert_string_equal(text, "it runs 2 threads");
	// That there were two before makes it no better.
	gt_health_take(&before, NULL, 0);
	assert_int_equal(look(&before, NULL, 0, text), GT_SURPRISE_THREAD);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
}

// It is done before each job. The bound is wide: the machine may be crowded.
static void test_cost(void **state)
{
	(void)state;
	char text[128];
	struct gt_health before;
	gt_health_take(&before, NULL, 0);
	int64_t best = INT64_MAX;
	for (int i = 0; i < 200; i++) {
		int64_t began = gt_clock_ns();
		look(&before, NULL, 0, text);
		int64_t took = gt_clock_ns() - began;
		best = took < best ? took : best;
	}
	print_message("a look takes %.1f us\n", (double)best / 1000);
	assert_true(best < 200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_descriptors_of_equal_sum),
		cmocka_unit_test(test_descriptor_replaced),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_shared_memory),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_cost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
