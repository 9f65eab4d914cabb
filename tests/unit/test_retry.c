// Which failures are tried again: the defaults, what --retries says, and what nobody may say.
#include "core/verdict.h"
#include "run/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const classes[GT_RETRY_CLASS_COUNT] = {
	"error", "crash", "timeout", "memory", "protocol", "killed", "host", "leaked",
};

// How many attempts a failure of that kind gets.
static int attempts(const struct gt_retries *retries, const char *why)
{
	int attempt = 1;
	struct gt_failures failures = {0};
	while (gt_retry_again(retries, &failures, why))
		attempt++;
	return attempt;
}

static void test_defaults(void **state)
{
	(void)state;
	struct gt_retries r;
	memset(&r, 0x55, sizeof r); // what lay there before does not matter
	gt_retries_init(&r);
	static const int wanted[GT_RETRY_CLASS_COUNT] = {1, 1, 2, 1, 1, 2, 2, 1};
	for (int c = 0; c < GT_RETRY_CLASS_COUNT; c++)
		assert_int_equal(attempts(&r, classes[c]), wanted[c]);
}

static void test_one_class(void **state)
{
	(void)state;
	for (int c = 0; c < GT_RETRY_CLASS_COUNT; c++) {
		char text[32];
		struct gt_retries r, before;
		gt_retries_init(&r);
		before = r;
		snprintf(text, sizeof text, "%s=7", classes[c]);
		assert_int_equal(gt_retries_set(&r, text, NULL), GT_OK);
		for (int other = 0; other < GT_RETRY_CLASS_COUNT; other++)
			assert_int_equal(attempts(&r, classes[other]),
			                 other == c ? 8 : attempts(&before, classes[other]));
	}
}

static void test_all_classes(void **state)
{
	(void)state;
	struct gt_retries r;
	gt_retries_init(&r);
	assert_int_equal(gt_retries_set(&r, "3", NULL), GT_OK);
	for (int c = 0; c < GT_RETRY_CLASS_COUNT; c++)
		assert_int_equal(attempts(&r, classes[c]), 4);
	assert_int_equal(gt_retries_set(&r, "crash=0", NULL), GT_OK); // the last word counts
	assert_int_equal(attempts(&r, "crash:SIGSEGV"), 1);
	assert_int_equal(attempts(&r, "error"), 4);
	assert_int_equal(gt_retries_set(&r, "0", NULL), GT_OK);
	for (int c = 0; c < GT_RETRY_CLASS_COUNT; c++)
		assert_int_equal(attempts(&r, classes[c]), 1);
	assert_int_equal(gt_retries_set(&r, "100", NULL), GT_OK);
	assert_int_equal(attempts(&r, "host"), 101);
}

// The class is the word up to the colon, and nothing that only looks like it.
static void test_words(void **state)
{
	(void)state;
	struct gt_retries r;
	gt_retries_init(&r);
	assert_int_equal(gt_retries_set(&r, "5", NULL), GT_OK);
	assert_int_equal(attempts(&r, "crash:SIGSEGV"), 6);
	assert_int_equal(attempts(&r, "crash"), 6);
	static const char *const none[] = {"",      "unsupported", "crashed", "cras", "CRASH", ":crash",
	                                   "value", "partial",     "interrupted", "errors", "time"};
	for (size_t i = 0; i < GT_COUNTOF(none); i++)
		assert_int_equal(attempts(&r, none[i]), 1);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *part;
	} rows[] = {
		{"", "'' is not a number"},
		{"x", "'x' is not a number from 0 to 100"},
		{"-1", "'-1' is not"},
		{"+1", "'+1' is not"},
		{" 1", "' 1' is not"},
		{"1 ", "'1 ' is not"},
		{"1.5", "'1.5' is not"},
		{"0x10", "'0x10' is not"},
		{"101", "'101' is not"},
		{"99999999999999999999999", "is not a number"},
		{"crash=", "'' is not a number"},
		{"crash=-1", "'-1' is not"},
		{"crash=101", "'101' is not"},
		{"crash=1=1", "'1=1' is not"},
		{"=1", "no class ''"},
		{"Crash=1", "no class 'Crash'"},
		{"cras=1", "no class 'cras'"},
		{"crashes=1", "no class 'crashes'; classes are error, crash, timeout"},
		{"crash:SIGSEGV=1", "no class 'crash:SIGSEGV'"},
		{"unsupported=1", "no class 'unsupported'"},
	};
	for (size_t i = 0; i < GT_COUNTOF(rows); i++) {
		struct gt_retries r, before;
		struct gt_err err = {0};
		gt_retries_init(&r);
		before = r;
		assert_int_equal(gt_retries_set(&r, rows[i].text, &err), GT_BAD_USAGE);
		if (!strstr(err.text, rows[i].part) || !strstr(err.text, "--retries"))
			fail_msg("'%s' instead of '%s'", err.text, rows[i].part);
		assert_memory_equal(&r, &before, sizeof r);
	}
}

static void test_surroundings(void **state)
{
	(void)state;
	for (int c = 0; c < GT_RETRY_CLASS_COUNT; c++) {
		bool around = c == GT_RETRY_KILLED || c == GT_RETRY_HOST;
		assert_int_equal(gt_why_is_surroundings(classes[c]), around);
	}
	assert_false(gt_why_is_surroundings("crash:SIGKILL"));
	assert_false(gt_why_is_surroundings(""));
}

// What the surroundings did takes nothing from the tries that the test's own failures get.
static void test_mixed(void **state)
{
	(void)state;
	struct gt_retries r;
	struct gt_failures failures = {0};
	gt_retries_init(&r);
	assert_true(gt_retry_again(&r, &failures, "killed"));
	assert_false(gt_retry_alone(&failures));
	assert_true(gt_retry_again(&r, &failures, "timeout"));
	assert_true(gt_retry_alone(&failures));
	assert_true(gt_retry_again(&r, &failures, "host"));
	assert_true(gt_retry_alone(&failures)); // the try alone has not been had
	assert_false(gt_retry_again(&r, &failures, "timeout"));
	assert_false(gt_retry_again(&r, &failures, "crash:SIGSEGV"));
	assert_false(gt_retry_again(&r, &failures, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_one_class),
		cmocka_unit_test(test_all_classes),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_surroundings),
		cmocka_unit_test(test_mixed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
