// Growing buffers, errors that never overflow, and codes.
#include "base/buf.h"
#include "base/status.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// To be refused as malloc refuses it, not reported.
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:handle_abort=0";
}

static void test_growth(void **state)
{
	(void)state;
	struct gt_buf b = {0};
	assert_string_equal(gt_buf_text(&b), "");
	gt_buf_append(&b, NULL, 0);
	assert_string_equal(gt_buf_text(&b), "");
	for (int i = 0; i < 1000; i++)
		gt_buf_append(&b, "a\0b", 3);
	assert_int_equal(b.length, 3000);
	assert_true(b.capacity > b.length);
	assert_int_equal(b.data[3000], 0);
	assert_memory_equal(b.data + 2997, "a\0b", 4);
	gt_buf_free(&b);
	assert_null(b.data);
	gt_buf_free(&b);
}

static void test_printf(void **state)
{
	(void)state;
	struct gt_buf b = {0};
	char *wide = malloc(10001);
	memset(wide, 'x', 10000);
	wide[10000] = '\0';
	gt_buf_printf(&b, "%d-%s", 7, "x");
	gt_buf_printf(&b, "%s", "");
	gt_buf_printf(&b, "%s", wide);
	assert_int_equal(b.length, 3 + 10000);
	assert_string_equal(b.data + 3, wide);
	free(wide);
	gt_buf_free(&b);
}

static void test_take(void **state)
{
	(void)state;
	struct gt_buf b = {0};
	char *text = gt_buf_take(&b);
	assert_string_equal(text, "");
	free(text);
	gt_buf_puts(&b, "hello");
	text = gt_buf_take(&b);
	assert_string_equal(text, "hello");
	assert_null(b.data);
	assert_int_equal(b.length, 0);
	free(text);
}

// More than there can be ends the process with a sentence; it neither loops nor wraps around.
static void test_too_large(void **state)
{
	(void)state;
	static const size_t wanted[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 2};
	for (size_t i = 0; i < GT_COUNTOF(wanted); i++) {
		int said[2];
		assert_int_equal(pipe(said), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct gt_buf b = {0};
			struct rlimit none = {0, 0};
			setrlimit(RLIMIT_CORE, &none);
			signal(SIGABRT, SIG_DFL);
			dup2(said[1], 2);
			alarm(60);
			gt_buf_puts(&b, "x");
			gt_buf_append(&b, "", wanted[i]);
			_exit(0);
		}
		int status;
		char text[4096] = "";
		close(said[1]);
		size_t n = 0;
		for (ssize_t got; (got = read(said[0], text + n, sizeof text - 1 - n)) > 0;)
			n += (size_t)got;
		close(said[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		assert_false(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
		assert_non_null(strstr(text, "out of memory"));
	}
}

static void test_errors(void **state)
{
	(void)state;
	struct gt_err err = {0};
	char wide[4000];
	memset(wide, 'w', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	assert_int_equal(gt_fail(&err, GT_ENGINE, "no %s", "way"), GT_ENGINE);
	assert_string_equal(err.text, "no way");
	assert_int_equal(gt_err_context(&err, "file '%s'", "a"), GT_ENGINE);
	assert_string_equal(err.text, "file 'a': no way");
	assert_int_equal(gt_fail(NULL, GT_IO, "x"), GT_IO);
	assert_int_equal(gt_err_context(NULL, "x"), GT_INTERNAL);

	errno = ENOENT;
	assert_int_equal(gt_fail_errno(&err, "cannot open '%s'", "a"), GT_NOT_FOUND);
	assert_string_equal(err.text, "cannot open 'a': No such file or directory");
	errno = ENOENT;
	assert_int_equal(gt_fail_errno(NULL, "x"), GT_NOT_FOUND);
	errno = EACCES;
	assert_int_equal(gt_fail_errno(&err, "x"), GT_IO);

	gt_fail(&err, GT_IO, "%s", wide);
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
	assert_string_equal(err.text + sizeof err.text - 5, "w...");
	errno = EIO;
	gt_fail_errno(&err, "%s", wide);
	assert_string_equal(err.text + sizeof err.text - 4, "...");
	gt_fail(&err, GT_IO, "%s", wide + 2500);
	gt_err_context(&err, "%s", wide + 3500);
	assert_true(strlen(err.text) == sizeof err.text - 1);
	assert_string_equal(err.text + sizeof err.text - 4, "...");
	for (size_t n = 1590; n < 1610; n++) { // contexts about as long as there is room
		gt_fail(&err, GT_IO, "inner");
		gt_err_context(&err, "%.*s", (int)n, wide);
		assert_true(strlen(err.text) < sizeof err.text);
		assert_int_equal(err.code, GT_IO);
	}
}

static void test_codes(void **state)
{
	(void)state;
	for (int c = GT_OK; c <= GT_INTERNAL; c++)
		assert_int_equal(gt_code_parse(gt_code_name((gt_code)c)), c);
	assert_string_equal(gt_code_name((gt_code)99), "internal");
	assert_int_equal(gt_code_parse("nonsense"), GT_INTERNAL);
	assert_int_equal(gt_code_parse(NULL), GT_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth), cmocka_unit_test(test_printf),
		cmocka_unit_test(test_take),   cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_errors), cmocka_unit_test(test_codes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
