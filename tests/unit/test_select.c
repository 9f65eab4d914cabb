// Tests of suite/select.h: names, files of names, filters, and the sentences about mistakes.
#include "suite/select.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct gt_cases make_cases(const char *const *names, size_t count)
{
	struct gt_cases cases = {0};
	for (size_t i = 0; i < count; i++) {
		struct gt_case *c = gt_cases_add(&cases);
		const char *dot = strchr(names[i], ':');
		c->suite = dot ? gt_strndup(names[i], (size_t)(dot - names[i])) : gt_strdup("s");
		c->name = gt_strdup(dot ? dot + 1 : names[i]);
	}
	gt_cases_name(&cases);
	return cases;
}

// "suite:name" or a name alone.
static struct gt_cases usual(void)
{
	static const char *const names[] = {"test_abs", "one:test_add", "test_relu", "two:test_add",
	                                    "x y", "test_\xc3\x84rger"};
	return make_cases(names, GT_COUNTOF(names));
}

static char tests_file[] = "/tmp/gauntlet-select-XXXXXX";

static void write_tests(const char *text)
{
	assert_int_equal(gt_file_write(tests_file, text, strlen(text), NULL), GT_OK);
}

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(tests_file);
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(tests_file);
}

static struct gt_names names_of(const char *const *list)
{
	struct gt_names names = {0};
	for (size_t i = 0; list && list[i]; i++)
		gt_names_add(&names, list[i]);
	return names;
}

static void expect(const char *const *names, const char *filter, const char *file, const char *ids)
{
	struct gt_cases cases = usual();
	struct gt_selection s = {names_of(names), filter, file};
	struct gt_err err = {0};
	if (gt_select(&s, &cases, &err))
		fail_msg("%s", err.text);
	struct gt_buf got = {0};
	for (size_t i = 0; i < cases.count; i++)
		gt_buf_printf(&got, "%s%s", i ? "," : "", cases.items[i].id);
	assert_string_equal(gt_buf_text(&got), ids);
	gt_buf_free(&got);
	gt_names_free(&s.names);
	gt_cases_free(&cases);
}

static void expect_failure(const char *const *names, const char *filter, const char *file,
                           gt_code code, const char *says)
{
	struct gt_cases cases = usual();
	struct gt_selection s = {names_of(names), filter, file};
	struct gt_err err = {0};
	size_t count = cases.count;
	assert_int_equal(gt_select(&s, &cases, &err), code);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
	assert_int_equal(cases.count, count); // a failure changes nothing
	gt_names_free(&s.names);
	gt_cases_free(&cases);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ALL "test_abs,one.test_add,test_relu,two.test_add,x y,test_\xc3\x84rger"

static void by_names(void **state)
{
	(void)state;
	expect(NULL, NULL, NULL, ALL);
	expect(NAMES("test_relu", "test_abs", "test_abs"), NULL, NULL, "test_abs,test_relu");
	expect(NAMES("test_add"), NULL, NULL, "one.test_add,two.test_add");
	expect(NAMES("two.test_add"), NULL, NULL, "two.test_add");
	expect(NAMES("x y"), NULL, NULL, "x y");
}

static void by_file(void **state)
{
	(void)state;
	write_tests("\xEF\xBB\xBFtest_abs\r\n# test_relu\n\ttest_add   two.test_add # x\n");
	expect(NULL, NULL, tests_file, "test_abs,one.test_add,two.test_add");
	write_tests("test_abs"); // no newline at the end
	expect(NULL, NULL, tests_file, "test_abs");
	write_tests("# nothing\n \n");
	expect_failure(NULL, NULL, tests_file, GT_NOT_FOUND, "names no test");
	write_tests("");
	expect_failure(NULL, NULL, tests_file, GT_NOT_FOUND, "names no test");
	write_tests("test_abs\ntest_ad\n");
	expect_failure(NULL, NULL, tests_file, GT_BAD_USAGE,
	               "': there is no test 'test_ad'; did you mean 'test_add'?");
	expect_failure(NULL, NULL, "/nowhere/list", GT_BAD_USAGE, "'/nowhere/list'");
	expect_failure(NULL, NULL, "/dev/null", GT_NOT_FOUND, "'/dev/null'"); // nothing is named there
	expect_failure(NULL, NULL, "/dev", GT_BAD_DATA, "'/dev' is a folder");
	assert_int_equal(gt_file_write(tests_file, "a\0b", 3, NULL), GT_OK);
	expect_failure(NULL, NULL, tests_file, GT_BAD_DATA, "not a text file");
}

static void filters_are_anchored_at_the_start(void **state)
{
	(void)state;
	expect(NULL, "test_a", NULL, "test_abs,one.test_add,two.test_add");
	expect(NULL, "two", NULL, "two.test_add");
	expect(NULL, "x|.*relu$", NULL, "test_relu,x y");
	expect(NULL, "test_(?!a)", NULL, "test_relu,test_\xc3\x84rger");
	expect(NULL, "", NULL, ALL);
	expect_failure(NULL, "est_abs", NULL, GT_NOT_FOUND,
	               "none of 6 tests matches the filter 'est_abs'");
	expect_failure(NULL, "TEST_ABS", NULL, GT_NOT_FOUND, "none of 6");
	expect(NULL, "(?i)TEST_ABS", NULL, "test_abs");
}

static void filters_know_unicode(void **state)
{
	(void)state;
	expect(NULL, "test_.rger", NULL, "test_\xc3\x84rger");
	expect(NULL, "test_\\wrger", NULL, "test_\xc3\x84rger");
	expect(NULL, "test_\xc3\x84", NULL, "test_\xc3\x84rger");
	expect(NULL, "test_\xc3", NULL, "test_\xc3\x84rger"); // not UTF-8: bytes
	// A name that is not UTF-8 is no failure of the filter.
	static const char *const names[] = {"bad\xff", "good"};
	struct gt_cases cases = make_cases(names, 2);
	struct gt_selection s = {.filter = "bad"};
	assert_int_equal(gt_select(&s, &cases, NULL), GT_OK);
	assert_int_equal(cases.count, 1);
	gt_cases_free(&cases);
}

static void bad_filters(void **state)
{
	(void)state;
	expect_failure(NULL, "test_(", NULL, GT_BAD_USAGE, "'test_(' is no regular expression: ");
	expect_failure(NULL, "test_(", NULL, GT_BAD_USAGE, " at position 6");
	expect_failure(NULL, "*", NULL, GT_BAD_USAGE, " at position 0");
	expect_failure(NULL, "[z-a]", NULL, GT_BAD_USAGE, "at position ");
	expect_failure(NULL, "a{70000}", NULL, GT_BAD_USAGE, "at position ");
	expect_failure(NULL, "test_\\C", NULL, GT_BAD_USAGE, "at position ");
}

static void catastrophic_filters_end(void **state)
{
	(void)state;
	char name[301];
	memset(name, 'a', 299);
	strcpy(name + 299, "!");
	const char *names[] = {name};
	static const char *const filters[] = {"(a+)+$", "(a|aa)+$", "(.*.*.*.*.*.*)*[;:]",
	                                      "(a?){300}a{300}", "((a*)*)*b", "(?R)?a(?R)?b"};
	for (size_t i = 0; i < GT_COUNTOF(filters); i++) {
		struct gt_cases cases = make_cases(names, 1);
		struct gt_selection s = {.filter = filters[i]};
		struct gt_err err = {0};
		int64_t start = gt_clock_ns();
		gt_code rc = gt_select(&s, &cases, &err);
		assert_true(gt_clock_ns() - start < 30000000000); // else it takes hours
		assert_true(rc == GT_BAD_USAGE || rc == GT_NOT_FOUND);
		if (i < 3) {
			assert_int_equal(rc, GT_BAD_USAGE);
			assert_non_null(strstr(err.text, "too many steps"));
		}
		gt_cases_free(&cases);
	}
}

static void everything_given_must_hold(void **state)
{
	(void)state;
	write_tests("test_abs test_add");
	expect(NULL, "test_a", tests_file, "test_abs,one.test_add,two.test_add");
	expect(NAMES("test_add", "test_relu"), NULL, tests_file, "one.test_add,two.test_add");
	expect(NAMES("test_add", "test_relu"), "one", tests_file, "one.test_add");
	expect_failure(NAMES("test_relu"), NULL, tests_file, GT_NOT_FOUND,
	               "none of 6 tests is called 'test_relu' and is listed in ");
	expect_failure(NAMES("test_relu"), "two", NULL, GT_NOT_FOUND,
	               " and matches the filter 'two'");
	// A mistake in one is reported although another leaves nothing anyway.
	expect_failure(NAMES("test_relu", "nothing_like_it"), "two", NULL, GT_BAD_USAGE,
	               "'nothing_like_it'");
}

static void expect_nearest(const char *name, const char *near)
{
	char *says = near ? gt_format("there is no test '%s'; did you mean '%s'?", name, near)
	                  : gt_format("there is no test '%s'", name);
	struct gt_cases cases = usual();
	struct gt_selection s = {.names = names_of(NAMES(name))};
	struct gt_err err = {0};
	assert_int_equal(gt_select(&s, &cases, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, says);
	gt_names_free(&s.names);
	gt_cases_free(&cases);
	free(says);
}

static void nearest_names(void **state)
{
	(void)state;
	expect_nearest("test_ab", "test_abs");       // one missing
	expect_nearest("test_abss", "test_abs");     // one too many
	expect_nearest("tast_obs", "test_abs");      // two replaced
	expect_nearest("est_re", "test_relu");       // three missing
	expect_nearest("two.test_ad", "two.test_add");
	expect_nearest("Test_Relu", "test_relu");
	expect_nearest("relu", "test_relu");         // the end of one
	expect_nearest("one", "one.test_add");       // the beginning of one
	expect_nearest("abc", NULL);                 // a short text is near to nothing
	expect_nearest("completely_else", NULL);
	expect_nearest("", NULL);
	expect_nearest("a", NULL);
}

static void several_unknown_names(void **state)
{
	(void)state;
	expect_failure(NAMES("zzz", "yyy", "test_abs", "zzz"), NULL, NULL, GT_BAD_USAGE,
	               "there is no test 'yyy' (1 more names are unknown)");
}

static int64_t select_many(void)
{
	enum { CASES = 20000, NAMES_GIVEN = 10000 };
	struct gt_cases cases = {0};
	struct gt_selection s = {0};
	for (size_t i = 0; i < CASES; i++) {
		struct gt_case *c = gt_cases_add(&cases);
		c->suite = gt_strdup("suite");
		c->name = gt_format("test_of_some_operator_number_%zu", i);
		if (i % 2 == 0)
			gt_names_add(&s.names, c->name);
	}
	int64_t start = gt_clock_ns();
	gt_cases_name(&cases);
	assert_int_equal(gt_select(&s, &cases, NULL), GT_OK);
	assert_int_equal(cases.count, NAMES_GIVEN);
	gt_names_add(&s.names, "unknown");
	struct gt_cases few = usual();
	assert_int_equal(gt_select(&s, &few, NULL), GT_BAD_USAGE);
	int64_t took = gt_clock_ns() - start;
	gt_cases_free(&few);
	gt_cases_free(&cases);
	gt_names_free(&s.names);
	return took;
}

static void a_large_run_is_quick(void **state)
{
	(void)state;
	int64_t best = INT64_MAX;
	for (int i = 0; i < 10 && best >= 1000000000; i++) // the machine may have stood still
		best = select_many();
	// Quadratic work would be 200 million comparisons of 30 equal bytes.
	assert_true(best < 1000000000);
}

static void no_cases_at_all(void **state)
{
	(void)state;
	struct gt_cases cases = {0};
	struct gt_selection s = {0};
	struct gt_err err = {0};
	assert_int_equal(gt_select(&s, &cases, &err), GT_NOT_FOUND);
	assert_string_equal(err.text, "there is no test");
	s.filter = "x";
	assert_int_equal(gt_select(&s, &cases, &err), GT_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_names),
		cmocka_unit_test(by_file),
		cmocka_unit_test(filters_are_anchored_at_the_start),
		cmocka_unit_test(filters_know_unicode),
		cmocka_unit_test(bad_filters),
		cmocka_unit_test(catastrophic_filters_end),
		cmocka_unit_test(everything_given_must_hold),
		cmocka_unit_test(nearest_names),
		cmocka_unit_test(several_unknown_names),
		cmocka_unit_test(a_large_run_is_quick),
		cmocka_unit_test(no_cases_at_all),
	};
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
