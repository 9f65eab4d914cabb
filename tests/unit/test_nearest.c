// Which name was probably meant.
#include "suite/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void edits_are_counted(void **state)
{
	(void)state;
	assert_int_equal(gt_nearness("test_abs", "test_abs"), 0);
	assert_int_equal(gt_nearness("test_abs", "test_bs"), 1);   // one less
	assert_int_equal(gt_nearness("test_abs", "test_aabs"), 1); // one more
	assert_int_equal(gt_nearness("test_abs", "test_ads"), 1);  // another
	assert_int_equal(gt_nearness("test_abs", "test_bas"), 2);  // two that changed places
	assert_int_equal(gt_nearness("kitten", "sitting"), 3);
	assert_int_equal(gt_nearness("abcdefgh", "bcdefghi"), 2); // shifted by one
	assert_int_equal(gt_nearness("abcdefgh", "defgh"), 3);
	assert_int_equal(gt_nearness("abcdefgh", "abcdefghxyz"), 3);
}

static void what_is_too_far_is_no_suggestion(void **state)
{
	(void)state;
	assert_true(gt_nearness("test_abs", "test_xyzw") == SIZE_MAX); // four
	assert_true(gt_nearness("abs", "xyz") == SIZE_MAX);            // all of it
	assert_true(gt_nearness("abs", "axs") == 1);
	assert_true(gt_nearness("abs", "axy") == SIZE_MAX); // more than half
	assert_true(gt_nearness("", "a") == SIZE_MAX);
	assert_true(gt_nearness("a", "b") == SIZE_MAX);
	assert_true(gt_nearness("a", "abcdef") == SIZE_MAX); // one letter begins too many names
	assert_true(gt_nearness("abcdefgh", "") == SIZE_MAX);
	assert_int_equal(gt_nearness("", ""), 0);
}

static void beginnings_and_ends_come_after_slips(void **state)
{
	(void)state;
	size_t begins = gt_nearness("test_abs", "test_abs_with_more"),
	       ends = gt_nearness("abs", "test_light_abs");
	assert_true(begins > 3 && begins < SIZE_MAX);
	assert_true(ends > 3 && ends < SIZE_MAX);
	assert_true(gt_nearness("test", "test_abs") < gt_nearness("test", "test_absolute"));
	assert_true(gt_nearness("light", "a_light_b") == SIZE_MAX); // in the middle
}

static void long_names_cost_little(void **state)
{
	(void)state;
	static char a[200001], b[200001];
	memset(a, 'a', sizeof a - 1);
	memset(b, 'a', sizeof b - 1);
	b[100000] = 'b';
	assert_int_equal(gt_nearness(a, b), 1); // a table of all cells would not fit in memory
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_are_counted),
		cmocka_unit_test(what_is_too_far_is_no_suggestion),
		cmocka_unit_test(beginnings_and_ends_come_after_slips),
		cmocka_unit_test(long_names_cost_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
