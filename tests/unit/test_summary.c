// The closing text of a run, and the columns it is made of.
#include "report/report.h"
#include "report/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "run_builder.h"

static void check_cut(const char *text, size_t columns, const char *wanted)
{
	struct gt_buf b = {0};
	gt_text_cut(&b, text, columns);
	assert_string_equal(gt_buf_text(&b), wanted);
	gt_buf_free(&b);
}

static void check_pad(const char *text, size_t columns, const char *wanted)
{
	struct gt_buf b = {0};
	gt_buf_puts(&b, "before");
	gt_text_pad(&b, text, columns);
	assert_string_equal(gt_buf_text(&b) + 6, wanted);
	gt_buf_free(&b);
}

static void test_columns(void **state)
{
	(void)state;
	assert_int_equal(gt_text_columns(""), 0);
	assert_int_equal(gt_text_columns("abc"), 3);
	assert_int_equal(gt_text_columns("é"), 1);
	assert_int_equal(gt_text_columns("…→│"), 3);
	assert_int_equal(gt_text_columns("漢字"), 4);
	assert_int_equal(gt_text_columns("한"), 2);
	assert_int_equal(gt_text_columns("😀"), 2);
	assert_int_equal(gt_text_columns("\xEF\xBF\xBD"), 1); // U+FFFD
	check_cut("abc", 3, "abc");
	check_cut("abcd", 3, "ab…");
	check_cut("abcd", 1, "…");
	check_cut("abcd", 0, "");
	check_cut("", 0, "");
	check_cut("漢字漢", 5, "漢字…");
	check_cut("漢字漢", 4, "漢…"); // half a character is none
	check_cut("ééé", 2, "é…");
	check_pad("ab", 4, "ab  ");
	check_pad("abcde", 4, "abc…");
	check_pad("漢字漢", 4, "漢… ");
	check_pad("", 2, "  ");
}

static void check_seconds(double seconds, const char *wanted)
{
	struct gt_buf b = {0};
	gt_text_seconds(&b, seconds);
	assert_string_equal(gt_buf_text(&b), wanted);
	gt_buf_free(&b);
}

static void test_seconds(void **state)
{
	(void)state;
	check_seconds(0, "0.00 s");
	check_seconds(9.994, "9.99 s");
	check_seconds(9.996, "10.0 s");
	check_seconds(99.94, "99.9 s");
	check_seconds(99.96, "1 min 40 s");
	check_seconds(3599.4, "59 min 59 s");
	check_seconds(3599.6, "1 h 00 min");
	check_seconds(7261, "2 h 01 min");
	check_seconds(1e300, "277777777777 h 46 min");
}

static void check_why(const char *why, const char *message, bool brief, const char *wanted)
{
	struct gt_test_result t = {.status = (char *)"compilation", .why = (char *)why,
	                           .message = (char *)message};
	char *got = gt_text_why(&t, brief);
	assert_string_equal(got, wanted);
	free(got);
}

static void test_why(void **state)
{
	(void)state;
	check_why("error", "m", false, "error: m");
	check_why("error", "", false, "error");
	check_why("error", "error: m", false, "error: m");
	check_why("error", "error:", false, "error");
	check_why("error", "errors: m", false, "error: errors: m");
	check_why("crash:SIGSEGV", "a\nb", false, "crash:SIGSEGV: a b");
	check_why("error", "error: x.mlir:4:12: no", false, "error: x.mlir:4:12: no");
	check_why("error", "error: x.mlir:4:12: no", true, "error: no");
	check_why("timeout", "a/b.mlir:4:12: no", true, "timeout: no");
	check_why("error", "x.mlir:4: no", true, "error: x.mlir:4: no");
	check_why("error", "x y:4:12: no", true, "error: x y:4:12: no");
	check_why("error", ":4:12: no", true, "error: :4:12: no");
	check_why("error", "x:4:12:no", true, "error: x:4:12:no");
	check_why("error", "x:4:12", true, "error: x:4:12");
	struct gt_test_result pass = {.status = (char *)"PASS", .why = (char *)"partial",
	                              .message = (char *)""};
	char *none = gt_text_why(&pass, false);
	assert_string_equal(none, "");
	free(none);
}

static char *summary_of(const struct built_test *tests, size_t count, int width, bool color)
{
	struct gt_result r;
	struct gt_buf out = {0};
	build_run(&r, tests, count);
	gt_report_summary(&r, "the/run", true, width, color, &out);
	gt_result_free(&r);
	return gt_buf_take(&out);
}

static void check_summary(const struct built_test *tests, size_t count, const char *wanted)
{
	char *got = summary_of(tests, count, 80, false);
	assert_string_equal(got, wanted);
	free(got);
}

#define CHECK(tests, wanted) check_summary(tests, GT_COUNTOF(tests), wanted)

static void test_small_run(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "test_abs", .status = "PASS", .seconds = 0.5},
		{.id = "test_add", .status = "PASS", .seconds = 2, .vacuous = true},
		{.id = "test_conv", .status = "compilation", .why = "error",
	         .message = "error: no\nlowering", .expect = "compilation", .seconds = 12.34},
		{.id = "test_div", .status = "compilation", .why = "crash:SIGSEGV",
	         .message = "the compiler died", .seconds = 0.25},
		{.id = "test_gelu", .status = "Numerics", .why = "value", .message = "3 of 12 differ",
	         .expect = "compilation", .seconds = 0.125},
		{.id = "test_new", .status = "PASS", .expect = "import_model", .reason = "issue 12",
	         .seconds = 0.0625},
	};
	CHECK(tests,
	      "\n"
	      "Status                tests  expected unexpected  why\n"
	      "  compilation             2         1          1  1 crash, 1 error\n"
	      "  Numerics                1         0          1  1 value\n"
	      "  PASS                    3         2          1\n"
	      "  1 of the 3 that passed would pass with all-zero outputs too\n"
	      "\n"
	      "Slowest tests\n"
	      "      12.3 s  test_conv                                       compilation 12.3 s\n"
	      "      2.00 s  test_add                                         comparison 2.00 s\n"
	      "      0.50 s  test_abs                                         comparison 0.50 s\n"
	      "      0.25 s  test_div                                        compilation 0.25 s\n"
	      "      0.12 s  test_gelu                                        comparison 0.12 s\n"
	      "\n"
	      "Differences from the expected statuses\n"
	      "  test_div\n"
	      "      PASS -> compilation  crash:SIGSEGV: the compiler died\n"
	      "      log  the/run/f/compilation.log\n"
	      "  test_gelu\n"
	      "      compilation -> Numerics  value: 3 of 12 differ\n"
	      "      log  the/run/f/inference_comparison.log\n"
	      "  test_new\n"
	      "      import_model -> PASS  (expected because: issue 12)\n"
	      "\n"
	      "6 tests in 48.2 s: 2 pass, 1 expected failure, 1 unexpected pass, 2 failures\n"
	      "results  the/run/results.json\n"
	      "journal  the/run/events.jsonl\n");
}

static void test_nothing_to_tell(void **state)
{
	(void)state;
	const struct built_test one[] = {{.id = "a", .status = "PASS", .seconds = 1}};
	CHECK(one, "\n"
		   "Status                tests  expected unexpected  why\n"
		   "  PASS                    1         1          0\n"
		   "\n"
		   "1 test in 48.2 s: 1 pass, 0 expected failures, 0 unexpected passes, 0 failures\n"
		   "results  the/run/results.json\n"
		   "journal  the/run/events.jsonl\n");
	check_summary(NULL, 0,
	              "\n"
	              "0 tests in 48.2 s: 0 pass, 0 expected failures, 0 unexpected passes, 0 failures\n"
	              "results  the/run/results.json\n"
	              "journal  the/run/events.jsonl\n");
}

// The line of counts breaks where it would not fit.
static void test_long_counts(void **state)
{
	(void)state;
	struct built_test tests[14];
	static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g",
	                                  "h", "i", "j", "k", "l", "m", "n"};
	for (size_t i = 0; i < 14; i++)
		tests[i] = (struct built_test){.id = ids[i], .status = "PASS",
		                               .expect = i < 2 ? "PASS" : "setup"};
	char *text = summary_of(tests, 14, 80, false);
	assert_non_null(strstr(text, "\n14 tests in 48.2 s:\n"
	                             "  2 pass, 0 expected failures, 12 unexpected passes, "
	                             "0 failures\n"));
	free(text);
}

static void test_incomplete(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "a", .status = "PASS"}, {.id = "b", .status = ""}, {.id = "c", .status = ""}};
	CHECK(tests, "\n"
		     "Status                tests  expected unexpected  why\n"
		     "  PASS                    1         1          0\n"
		     "  no result               2\n"
		     "\n"
		     "3 tests in 48.2 s: 1 pass, 0 expected failures, 0 unexpected passes, 0 failures\n"
		     "INCOMPLETE (interrupted): 2 of 3 tests have no result; --resume goes on\n"
		     "results  the/run/results.json\n"
		     "journal  the/run/events.jsonl\n");
	struct gt_result r = {0};
	struct gt_buf out = {0};
	// It died while it named its tests.
	struct builder b = {.result = &r};
	build_apply(&b, json_pack("{s:s,s:i,s:i,s:{},s:i,s:[s]}", "event", "run-start", "format", 1, "tests", 3,
	                          "options", "jobs", 2, "stages", "setup"));
	for (int named = 0; named < 2; named++) {
		gt_report_summary(&r, "f", true, 80, false, &out);
		assert_non_null(strstr(out.data, "  no result               3\n"));
		assert_non_null(strstr(out.data, "\n3 tests in "));
		assert_non_null(strstr(out.data, "INCOMPLETE: 3 of 3 tests have no result; --resume goes on\n"));
		gt_buf_free(&out);
		out = (struct gt_buf){0};
		if (!named)
			build_apply(&b, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "event", "test", "test", "a", "name",
			                          "a", "suite", "s", "folder", "f", "expect", "PASS", "reason", ""));
	}
	gt_result_free(&r);
	build_run(&r, tests, 1);
	r.complete = false;
	gt_report_summary(&r, "f", true, 80, false, &out);
	assert_non_null(strstr(out.data, "INCOMPLETE: the run did not reach its end; --resume goes on\n"));
	gt_buf_free(&out);
	out = (struct gt_buf){0};
	gt_report_summary(&r, "f", false, 80, false, &out);
	assert_null(strstr(out.data, "results  "));
	assert_non_null(strstr(out.data, "journal  f/events.jsonl\n"));
	gt_buf_free(&out);
	gt_result_free(&r);
}

// Names that are long, wide or hostile, in a run with more differences than are listed.
static void make_hostile(struct built_test *tests, char (*ids)[400], size_t count)
{
	static const char *const pieces[] = {"漢字", "\x1b[31m", "long_", "\xE2\x80\xAE", "\n", "\t",
	                                     "|`<b>", "é", "😀"};
	static const char *const whys[] = {"error", "timeout", "crash:SIGSEGV", "crash:SIGABRT",
	                                   "unsupported", "protocol", "host"};
	for (size_t i = 0; i < count; i++) {
		int n = snprintf(ids[i], 400, "t%zu", i);
		for (size_t k = 0; k < 1 + i * 2 && n < 380; k++)
			n += snprintf(ids[i] + n, 400 - (size_t)n, "%s", pieces[(i + k) % 9]);
		tests[i] = (struct built_test){.id = ids[i],
		                               .status = i % 2 ? "compiled_inference" : "compilation",
		                               .why = whys[i % 7], .message = ids[count - 1 - i],
		                               .seconds = (double)i * 7.77};
	}
}

// Every line but those that hold a whole name fits.
static void check_widths(const char *text, size_t width)
{
	char *copy = gt_strdup(text), *rest = copy, *line;
	bool list = false;
	while ((line = strsep(&rest, "\n"))) {
		list = (list && *line) || strncmp(line, "Differences", 11) == 0;
		bool name = list && strncmp(line, "  t", 3) == 0;
		bool path = strncmp(line, "      log  the/run/f/", 20) == 0;
		if (!name && !path && gt_text_columns(line) > width)
			fail_msg("%zu columns: %s", gt_text_columns(line), line);
		if (name && gt_text_columns(line) > 2 + 240)
			fail_msg("a name of %zu columns", gt_text_columns(line));
	}
	free(copy);
}

static void test_widths(void **state)
{
	(void)state;
	static char ids[60][400];
	struct built_test tests[60];
	make_hostile(tests, ids, 60);
	for (int width = 72; width <= 200; width += 7) {
		char *text = summary_of(tests, 60, width, false);
		check_widths(text, (size_t)width);
		assert_null(strpbrk(text, "\x1b\t"));
		assert_null(strstr(text, "\xE2\x80\xAE"));
		assert_non_null(strstr(text, "\n  and 40 more in results.json\n"));
		free(text);
	}
	static const int odd[] = {-1, 0, 1, 40};
	for (size_t i = 0; i < GT_COUNTOF(odd); i++) {
		char *text = summary_of(tests, 60, odd[i], false);
		check_widths(text, 72);
		free(text);
	}
}

// Colours change nothing but colours.
static void test_color(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "a", .status = "PASS"},
		{.id = "b", .status = "setup", .why = "error", .message = "m"},
		{.id = "c", .status = "setup", .why = "error", .message = "m", .expect = "setup"},
		{.id = "d", .status = "PASS", .expect = "setup"}};
	char *plain = summary_of(tests, 4, 80, false), *color = summary_of(tests, 4, 80, true);
	assert_null(strchr(plain, '\x1b'));
	assert_non_null(strstr(color, "\x1b[31m1 failure\x1b[0m"));
	char *to = color;
	for (char *from = color; *from;) {
		if (*from == '\x1b')
			from = strchr(from, 'm') + 1;
		else
			*to++ = *from++;
	}
	*to = '\0';
	assert_string_equal(color, plain);
	free(plain);
	free(color);
}

static void test_hostile_folder(void **state)
{
	(void)state;
	struct gt_result r = {0};
	struct gt_buf out = {0};
	gt_report_summary(&r, "a\nb\x1b]0;x\a", true, 80, false, &out);
	assert_non_null(strstr(out.data, "results  a b\\x1B]0;x\\x07/results.json\n"));
	gt_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),         cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_small_run),       cmocka_unit_test(test_nothing_to_tell),
		cmocka_unit_test(test_incomplete),      cmocka_unit_test(test_long_counts),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_color),           cmocka_unit_test(test_hostile_folder),
	};
	return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
