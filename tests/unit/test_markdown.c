// alt_e2eshark's reports: the very bytes it would write, and nothing that a test could slip in.
#include "base/file.h"
#include "report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "run_builder.h"

static char folder[] = "/tmp/gauntlet-markdown-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

static char *content(const char *name)
{
	struct gt_buf text = {0};
	struct gt_err err = {0};
	char *path = gt_path_join(folder, name);
	if (gt_file_read(path, 1 << 20, &text, &err))
		fail_msg("%s", err.text);
	free(path);
	return gt_buf_take(&text);
}

static void check_content(const char *name, const char *wanted)
{
	char *got = content(name);
	assert_string_equal(got, wanted);
	free(got);
}

static void report(const struct gt_result *r, const char *name)
{
	struct gt_err err = {0};
	char *path = gt_path_join(folder, name);
	if (gt_report_markdown(r, path, &err))
		fail_msg("%s", err.text);
	free(path);
}

static void test_tables(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "b", .status = "setup", .why = "error", .message = "m"},
		{.id = "a", .status = "import_model", .why = "unsupported", .message = "no maps"},
		{.id = "c", .status = "preprocessing", .why = "timeout", .message = "120 s"},
		{.id = "d", .status = "compilation", .why = "error", .message = "error: e"},
		{.id = "e", .status = "construct_inputs", .why = "error", .message = ""},
		{.id = "f", .status = "native_inference", .why = "error", .message = "m"},
		{.id = "g", .status = "compiled_inference", .why = "crash:SIGSEGV", .message = "m"},
		{.id = "h", .status = "postprocessing", .why = "error", .message = "m"},
		{.id = "i", .status = "results-summary", .why = "crash:SIGBUS", .message = "m"},
		{.id = "j", .status = "Numerics", .why = "value", .message = "3 of 12"},
		{.id = "k", .status = "Numerics", .why = "value", .message = "m", .vacuous = true},
		{.id = "l", .status = "PASS", .vacuous = true},
		{.id = "m", .status = "PASS"},
	};
	struct gt_result r;
	build_run(&r, tests, GT_COUNTOF(tests));
	report(&r, "tables.md");
	check_content("tables.md",
	              "## Passing Summary\n"
	              "\n"
	              "**TOTAL TESTS = 13**\n"
	              "|Stage|# Passing|% of Total|% of Attempted|\n"
	              "|--|--|--|--|\n"
	              "| Setup | 12 | 92.3% | 92.3% |\n"
	              "| IREE Compilation | 9 | 69.2% | 75.0% |\n"
	              "| Gold Inference | 7 | 53.8% | 77.8% |\n"
	              "| IREE Inference Invocation | 6 | 46.2% | 85.7% |\n"
	              "| Inference Comparison (PASS) | 2 | 15.4% | 33.3% |\n"
	              "## Fail Summary\n"
	              "\n"
	              "**TOTAL TESTS = 13**\n"
	              "|Stage|# Failed at Stage|% of Total|\n"
	              "|--|--|--|\n"
	              "| Setup | 1 | 7.7% |\n"
	              "| IREE Compilation | 3 | 23.1% |\n"
	              "| Gold Inference | 2 | 15.4% |\n"
	              "| IREE Inference Invocation | 1 | 7.7% |\n"
	              "| Inference Comparison | 4 | 30.8% |\n"
	              "## Test Run Detail\n"
	              "Test was run with the following arguments:\n"
	              "Namespace(mode='onnx-iree', stages=['setup', 'comparison'], jobs=2)\n"
	              "\n"
	              "| Test | Exit Status | Mean Benchmark Time (ms) | Notes |\n"
	              "|--|--|--|--|\n"
	              "| b | setup | None | error: m |\n"
	              "| a | import_model | None | unsupported: no maps |\n"
	              "| c | preprocessing | None | timeout: 120 s |\n"
	              "| d | compilation | None | error: e |\n"
	              "| e | construct_inputs | None | error |\n"
	              "| f | native_inference | None | error: m |\n"
	              "| g | compiled_inference | None | crash:SIGSEGV: m |\n"
	              "| h | postprocessing | None | error: m |\n"
	              "| i | results-summary | None | crash:SIGBUS: m |\n"
	              "| j | Numerics | None | value: 3 of 12 |\n"
	              "| k | Numerics | None | value: m |\n"
	              "| l | PASS | None | vacuous |\n"
	              "| m | PASS | None | |\n");
	gt_result_free(&r);
}

static void test_json(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "b", .status = "PASS"},
		{.id = "é\"\\", .status = "Numerics", .why = "value"},
		{.id = "B", .status = "results-summary", .why = "error"},
		{.id = "unfinished", .status = ""},
	};
	struct gt_result r;
	build_run(&r, tests, GT_COUNTOF(tests));
	report(&r, "sorted.md");
	check_content("sorted.json", "{\n"
				     "    \"B\": {\n"
				     "        \"exit_status\": \"results-summary\",\n"
				     "        \"time_ms\": null\n"
				     "    },\n"
				     "    \"b\": {\n"
				     "        \"exit_status\": \"PASS\",\n"
				     "        \"time_ms\": null\n"
				     "    },\n"
				     "    \"é\\\"\\\\\": {\n"
				     "        \"exit_status\": \"Numerics\",\n"
				     "        \"time_ms\": null\n"
				     "    }\n"
				     "}");
	char *text = content("sorted.md");
	assert_memory_equal(text, "**INCOMPLETE RUN: 3 of 4 tests have a result**\n\n## Pass", 55);
	assert_non_null(strstr(text, "**TOTAL TESTS = 3**"));
	assert_null(strstr(text, "unfinished"));
	free(text);
	json_object_set_new(r.run, "tests", json_integer(9)); // it died while it named them
	report(&r, "sorted.md");
	text = content("sorted.md");
	assert_memory_equal(text, "**INCOMPLETE RUN: 3 of 9 tests have a result**\n", 47);
	free(text);
	gt_result_free(&r);
}

static void test_no_tests(void **state)
{
	(void)state;
	struct gt_result r;
	build_run(&r, NULL, 0);
	report(&r, "none.md");
	check_content("none.json", "{}");
	char *text = content("none.md");
	assert_non_null(strstr(text, "| Setup | 0 | 0.0% | 0.0% |\n"));
	assert_non_null(strstr(text, "| Inference Comparison | 0 | 0.0% |\n"));
	free(text);
	gt_result_free(&r);
	r = (struct gt_result){0}; // not even a run
	report(&r, "none.md");
	text = content("none.md");
	assert_non_null(strstr(text, "\nNamespace()\n"));
	free(text);
}

static void check_arguments(const char *options, const char *wanted)
{
	struct gt_result r = {0};
	struct builder b = {.result = &r};
	build_begin(&b, options, NULL, 0);
	report(&r, "arguments.md");
	char *text = content("arguments.md");
	char *at = strstr(text, "Namespace(");
	assert_non_null(at);
	*strstr(at, ", stages=") = '\0';
	assert_string_equal(at + strlen("Namespace("), wanted);
	free(text);
	gt_result_free(&r);
}

static void test_arguments(void **state)
{
	(void)state;
	check_arguments("{\"a\":\"x\",\"b\":true,\"c\":false,\"d\":null,\"e\":-3,\"f\":0.001,\"g\":2.0}",
	                "a='x', b=True, c=False, d=None, e=-3, f=0.001, g=2.0");
	check_arguments("{\"l\":[],\"m\":[\"--x\",1],\"d\":{},\"e\":{\"n\":2,\"k\":[{}]}}",
	                "l=[], m=['--x', 1], d={}, e={'n': 2, 'k': [{}]}");
	check_arguments("{\"s\":\"it's\",\"t\":\"'\\\"\",\"u\":\"a\\nb\\\\<\"}",
	                "s=\"it's\", t='\\\\'\"', u='a\\\\nb\\\\\\\\&lt;'");
}

static void check_row(const char *id, const char *message, const char *wanted)
{
	const struct built_test tests[] = {
		{.id = id, .status = "compilation", .why = "error", .message = message}};
	struct gt_result r;
	build_run(&r, tests, 1);
	report(&r, "row.md");
	char *text = content("row.md");
	char *row = strstr(text, "|--|--|--|--|\n| ");
	row = strstr(row + 1, "|--|--|--|--|\n| ");
	assert_non_null(row);
	assert_string_equal(row + strlen("|--|--|--|--|\n"), wanted);
	free(text);
	gt_result_free(&r);
}

static void test_escapes(void **state)
{
	(void)state;
	check_row("a|b", "x|y", "| a\\|b | compilation | None | error: x\\|y |\n");
	check_row("a\\|b", "\\", "| a\\\\\\|b | compilation | None | error: \\\\ |\n");
	check_row("a\nb", "x\r\n| y | z |\n",
	          "| a b | compilation | None | error: x\\\\x0D \\| y \\| z \\|  |\n");
	check_row("<b>&amp;", "</table><script>alert(1)</script>",
	          "| &lt;b&gt;&amp;amp; | compilation | None | error: "
	          "&lt;/table&gt;&lt;script&gt;alert(1)&lt;/script&gt; |\n");
	check_row("`a`", "`` x `", "| \\`a\\` | compilation | None | error: \\`\\` x \\` |\n");
	check_row("test_a__b", "_x_ y_ a*b* ~~z~~ $1$",
	          "| test_a__b | compilation | None | error: \\_x\\_ y\\_ a\\*b\\* \\~\\~z\\~\\~ "
	          "\\$1\\$ |\n");
	check_row("é_é", "[text](http://x) [3,4]",
	          "| é_é | compilation | None | error: [text\\](http://x) [3,4] |\n");
	check_row("a@b", "func @main(@é) @ x @", // a name behind it is told, wherever this is pasted
	          "| a@<!-- -->b | compilation | None | error: func @<!-- -->main(@<!-- -->é) @ x @ |\n");
	check_row("\x1b[31m", "\xE2\x80\xAE\x7F",
	          "| \\\\x1B[31m | compilation | None | error: \\\\u{202E}\\\\x7F |\n");
}

static void test_long_message(void **state)
{
	(void)state;
	char message[5000], wanted[400];
	memset(message, 'x', sizeof message - 1);
	message[sizeof message - 1] = '\0';
	snprintf(wanted, sizeof wanted, "| a | compilation | None | error: %.192s… |\n", message);
	check_row("a", message, wanted);
}

static void test_paths(void **state)
{
	(void)state;
	struct gt_result r = {0};
	struct gt_err err = {0};
	char *inner = gt_path_join(folder, "with.dot");
	assert_int_equal(gt_make_folders(inner, NULL), GT_OK);
	report(&r, "with.dot/plain");
	check_content("with.dot/plain.json", "{}");
	report(&r, "a.b.md");
	check_content("a.b.json", "{}");
	report(&r, ".hidden");
	check_content(".hidden.json", "{}");
	free(inner);
	char *path = gt_path_join(folder, "x.json");
	assert_int_equal(gt_report_markdown(&r, path, &err), GT_BAD_USAGE);
	assert_non_null(strstr(err.text, "x.json"));
	assert_false(gt_is_file(path));
	free(path);
	assert_int_equal(gt_report_markdown(&r, "/no/such/folder/r.md", &err), GT_NOT_FOUND);
	assert_int_equal(gt_report_results(&r, "/no/such/folder", &err), GT_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),    cmocka_unit_test(test_json),
		cmocka_unit_test(test_no_tests),  cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_escapes),   cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_paths),
	};
	return cmocka_run_group_tests_name("markdown", tests, make_folder, remove_folder);
}
