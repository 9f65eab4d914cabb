// Tests of cli/arguments.h with a table as large as that of `gauntlet run`.
#include "cli/arguments.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct gt_arg_row rows[] = {
	{0, NULL, GT_ARG_HEADING, NULL, "Which tests"},
	{0, "suite", GT_ARG_VALUE, "NAME|PATH",
	 "Suite to take tests from: a built-in name, a folder or a file. May be repeated."},
	{'t', "test-filter", GT_ARG_VALUE, "REGEX", "Only tests whose name begins with a match."},
	{0, "testsfile", GT_ARG_VALUE, "FILE", "Only tests named in this file."},
	{0, NULL, GT_ARG_HEADING, NULL, "How they run"},
	{'r', "rundirectory", GT_ARG_VALUE, "DIR", "Where artefacts and results go."},
	{'m', "mode", GT_ARG_VALUE, "MODE", "Mode."},
	{'a', "iree-compile-args", GT_ARG_LIST, "FLAG", "Flags of the compiler."},
	{0, "torchtolinalg", GT_ARG_FLAG, NULL, "Lower with torch-mlir's passes first."},
	{0, "stages", GT_ARG_LIST, "STAGE", "Only these stages."},
	{0, "tolerance", GT_ARG_LIST, "NUMBER", "Absolute, then relative tolerance."},
	{'j', "jobs", GT_ARG_VALUE, "N", "How many tests at once."},
	{0, "report", GT_ARG_FLAG, NULL, "Write a report."},
	{'v', "verbose", GT_ARG_FLAG, NULL, "Say more."},
	{'h', "help", GT_ARG_FLAG, NULL, "This text."},
};

static const struct gt_arg_command run = {
	.name = "gauntlet run",
	.summary = "Take tests through their stages and say where each one stops.",
	.positional = {"TEST", "Names of tests; all if there is none.", 0, SIZE_MAX},
	.rows = rows,
	.count = GT_COUNTOF(rows),
};

// Parse words until NULL.
static gt_code parse(const struct gt_arg_command *command, const char *const *words,
                     struct gt_args *out, struct gt_err *err)
{
	size_t count = 0;
	while (words[count])
		count++;
	return gt_arg_parse(command, count, words, out, err);
}

// Everything that was given as one text: "flag=value,value;...|positional,...".
static char *describe(const struct gt_args *args)
{
	struct gt_buf out = {0};
	for (size_t i = 0; i < args->command->count; i++) {
		const char *name = args->command->rows[i].name;
		if (!name || !gt_arg_given(args, name))
			continue;
		const struct gt_names *values = gt_arg_list(args, name);
		gt_buf_printf(&out, "%s%s=", out.length ? ";" : "", name);
		for (size_t k = 0; k < values->count; k++)
			gt_buf_printf(&out, "%s%s", k ? "," : "", values->items[k]);
	}
	gt_buf_puts(&out, "|");
	for (size_t k = 0; k < args->positionals.count; k++)
		gt_buf_printf(&out, "%s%s", k ? "," : "", args->positionals.items[k]);
	return gt_buf_take(&out);
}

static void expect_words(const char *const *words, const char *description)
{
	struct gt_args args;
	struct gt_err err = {0};
	if (parse(&run, words, &args, &err))
		fail_msg("%s", err.text);
	char *got = describe(&args);
	assert_string_equal(got, description);
	free(got);
	gt_arg_free(&args);
	gt_arg_free(&args);
}

static void expect_sentence(const char *const *words, const char *sentence)
{
	struct gt_args args;
	struct gt_err err = {0};
	assert_int_equal(parse(&run, words, &args, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, sentence);
	gt_arg_free(&args);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define expect(description, ...) expect_words(WORDS(__VA_ARGS__), description)
#define expect_error(sentence, ...) expect_sentence(WORDS(__VA_ARGS__), sentence)

static void the_table_is_sound(void **state)
{
	(void)state;
	struct gt_err err = {0};
	assert_int_equal(gt_arg_check(&run, &err), GT_OK);
	struct gt_arg_row bad[2] = {{'a', "x", GT_ARG_FLAG, NULL, "h"},
	                            {'b', "x", GT_ARG_FLAG, NULL, "h"}};
	struct gt_arg_command command = {.name = "c", .rows = bad, .count = 2};
	assert_int_equal(gt_arg_check(&command, &err), GT_INTERNAL);
	assert_non_null(strstr(err.text, "'--x' is there twice"));
	bad[1].name = "y";
	assert_int_equal(gt_arg_check(&command, &err), GT_OK);
	bad[1].letter = 'a';
	assert_int_equal(gt_arg_check(&command, &err), GT_INTERNAL);
	bad[1] = (struct gt_arg_row){0, "y", GT_ARG_VALUE, NULL, "h"};
	assert_int_equal(gt_arg_check(&command, &err), GT_INTERNAL);
	bad[1] = (struct gt_arg_row){0, "y", GT_ARG_FLAG, NULL, ""};
	assert_int_equal(gt_arg_check(&command, &err), GT_INTERNAL);
	bad[1] = (struct gt_arg_row){0, "y", GT_ARG_HEADING, NULL, "h"};
	assert_int_equal(gt_arg_check(&command, &err), GT_INTERNAL);
}

static void values(void **state)
{
	(void)state;
	struct gt_args none;
	assert_int_equal(gt_arg_parse(&run, 0, NULL, &none, NULL), GT_OK);
	assert_false(gt_arg_given(&none, "verbose"));
	assert_string_equal(gt_arg_text(&none, "mode", "onnx-iree"), "onnx-iree");
	assert_int_equal(gt_arg_list(&none, "stages")->count, 0);
	gt_arg_free(&none);

	expect("mode=m|", "-m", "m");
	expect("mode=m|", "-mm");
	expect("mode=m|", "-m=m");
	expect("mode=m|", "--mode", "m");
	expect("mode=m|", "--mode=m");
	expect("mode=|", "--mode=");
	expect("mode=|", "--mode", "");
	expect("mode=a=b|", "--mode=a=b");
	expect("mode=-|", "--mode", "-");
	expect("mode=-x|", "--mode=-x");
	expect("mode=--report|", "--mode=--report");
	expect("jobs=-5|", "-j", "-5");
	expect("suite=a,b|", "--suite", "a", "--suite=b");
	expect("jobs=4;verbose=|", "-vj4");
	expect("jobs=4;verbose=|", "-vj", "4");
	expect("jobs=4;verbose=|", "-vj=4");
	expect("verbose=;help=|", "-vhv");
	struct gt_args args;
	assert_int_equal(parse(&run, WORDS("-m", "a", "-v", "-mb"), &args, NULL), GT_OK);
	assert_string_equal(gt_arg_text(&args, "mode", "c"), "b");
	assert_true(gt_arg_given(&args, "verbose"));
	gt_arg_free(&args);
}

static void lists(void **state)
{
	(void)state;
	expect("stages=a,b;verbose=|", "--stages", "a", "b", "-v");
	expect("stages=a,b|c,-v", "--stages", "a", "b", "--", "c", "-v");
	expect("stages=|", "--stages");
	expect("stages=;report=|", "--stages", "--report");
	expect("stages=a|b", "--stages=a", "b");
	expect("iree-compile-args=x|y", "-ax", "y");
	expect("iree-compile-args=--opt=3,-x,y|", "-a", "--iree-compile-args=--opt=3",
	       "--iree-compile-args=-x", "-a", "y");
	expect("tolerance=-1,-.5,-1e-3,-1E+5,-2.|", "--tolerance", "-1", "-.5", "-1e-3", "-1E+5",
	       "-2.");
	expect("iree-compile-args=-,|", "-a", "-", "");
}

static void positionals(void **state)
{
	(void)state;
	expect("verbose=|a,b", "a", "-v", "b");
	expect("mode=x|a,b", "a", "-m", "x", "b");
	expect("|-v,--mode,--", "--", "-v", "--mode", "--");
	expect("|", "--");
	expect("|-,,-5", "-", "", "-5");
}

static void sentences_about_flags(void **state)
{
	(void)state;
	expect_error("unknown flag '--test-filtr'; did you mean '--test-filter'?",
	             "--test-filtr=x");
	expect_error("unknown flag '--verb'; did you mean '--verbose'?", "--verb");
	expect_error("unknown flag '--Verbose'; did you mean '--verbose'?", "--Verbose");
	expect_error("unknown flag '--xyzzy'; 'gauntlet run --help' lists them", "--xyzzy");
	expect_error("unknown flag '-x'; 'gauntlet run --help' lists them", "-x");
	expect_error("unknown flag '-vx'; 'gauntlet run --help' lists them", "-vx");
	expect_error("unknown flag '---verbose'; did you mean '--verbose'?", "---verbose");
	expect_error("unknown flag '-report'; did you mean '--report'?", "-report");
	expect_error("unknown flag '-mode'; did you mean '--mode'?", "-mode=x");
	expect_error("unknown flag '--'; 'gauntlet run --help' lists them", "--=x");
	expect_error("unknown flag '--iree-opt'; as a value of '--iree-compile-args' write "
	             "'--iree-compile-args=--iree-opt=O3'", "-a", "--iree-opt=O3");
	expect_error("unknown flag '-O3'; as a value of '--iree-compile-args' write "
	             "'--iree-compile-args=-O3'", "--iree-compile-args", "x", "-O3");
	expect_error("unknown flag '-O3'; 'gauntlet run --help' lists them", "-ax", "-v", "-O3");
}

static void sentences_about_values(void **state)
{
	(void)state;
	expect_error("flag '--mode' needs a value (MODE)", "-v", "--mode");
	expect_error("flag '--mode' needs a value (MODE)", "-vm");
	expect_error("flag '--mode' needs a value (MODE) before '--verbose'; if that is the value, "
	             "write '--mode=--verbose'", "--mode", "--verbose");
	expect_error("flag '--mode' needs a value (MODE) before '--'; if that is the value, "
	             "write '--mode=--'", "-m", "--");
	expect_error("flag '--verbose' takes no value, but was given 'yes'", "--verbose=yes");
	expect_error("flag '--verbose' takes no value, but was given '1'", "-v=1");
}

static void sentences_about_positionals(void **state)
{
	(void)state;
	struct gt_arg_command two = {
		.name = "gauntlet diff", .summary = "s", .positional = {"RUN", "h", 2, 2},
		.rows = rows, .count = GT_COUNTOF(rows),
	};
	struct gt_args args;
	struct gt_err err = {0};
	assert_int_equal(parse(&two, WORDS("a", "-v", "b"), &args, &err), GT_OK);
	gt_arg_free(&args);
	assert_int_equal(parse(&two, WORDS("a"), &args, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, "'gauntlet diff' needs 2 arguments (RUN), not 1");
	gt_arg_free(&args);
	assert_int_equal(parse(&two, WORDS("a", "b", "c"), &args, &err), GT_BAD_USAGE);
	assert_string_equal(err.text,
	                    "unexpected argument 'c'; 'gauntlet diff' takes no more of them");
	gt_arg_free(&args);
	// What came before a mistake is still there.
	assert_int_equal(parse(&two, WORDS("-h"), &args, &err), GT_BAD_USAGE);
	assert_true(gt_arg_given(&args, "help"));
	gt_arg_free(&args);
	two.positional.metavar = NULL;
	assert_int_equal(parse(&two, WORDS("--help", "a"), &args, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, "unexpected argument 'a'; 'gauntlet diff' takes none");
	assert_true(gt_arg_given(&args, "help"));
	gt_arg_free(&args);
}

// ---- help ----

static void help_of_a_small_table(void **state)
{
	(void)state;
	static const struct gt_arg_row few[] = {
		{'v', "verbose", GT_ARG_FLAG, NULL, "Say more."},
		{0, NULL, GT_ARG_HEADING, NULL, "Other flags"},
		{0, "a-flag-with-a-long-name", GT_ARG_VALUE, "METAVAR",
		 "A text that is a good deal longer than what fits on one line beside its flag."},
		{'s', "stages", GT_ARG_LIST, "STAGE", "x"},
	};
	static const struct gt_arg_command command = {
		.name = "gauntlet thing", .summary = "Do it.\nA second paragraph.",
		.positional = {"FOLDER", "Where.", 1, SIZE_MAX}, .rows = few,
		.count = GT_COUNTOF(few),
	};
	struct gt_buf out = {0};
	gt_arg_help(&command, &out);
	assert_string_equal(gt_buf_text(&out),
		"usage: gauntlet thing [flags] FOLDER [FOLDER ...]\n"
		"\n"
		"Do it.\n"
		"A second paragraph.\n"
		"\n"
		"  FOLDER                      Where.\n"
		"\n"
		"  -v, --verbose               Say more.\n"
		"\n"
		"Other flags:\n"
		"      --a-flag-with-a-long-name METAVAR\n"
		"                              A text that is a good deal longer than what fits\n"
		"                              on one line beside its flag.\n"
		"  -s, --stages [STAGE ...]    x\n");
	gt_buf_free(&out);
}

static void help_is_at_most_80_columns_wide(void **state)
{
	(void)state;
	struct gt_buf out = {0};
	gt_arg_help(&run, &out);
	const char *line = gt_buf_text(&out);
	while (*line) {
		size_t n = strcspn(line, "\n");
		assert_true(n <= 80);
		assert_true(n == 0 || line[n - 1] != ' ');
		line += n + 1;
	}
	for (size_t i = 0; i < run.count; i++)
		if (rows[i].name)
			assert_non_null(strstr(gt_buf_text(&out), rows[i].name));
	gt_buf_free(&out);
}

static void a_word_wider_than_the_line_stays_whole(void **state)
{
	(void)state;
	char word[121];
	memset(word, 'w', 120);
	word[120] = '\0';
	struct gt_arg_row row = {0, "x", GT_ARG_FLAG, NULL, word};
	struct gt_arg_command command = {.name = "c", .summary = "s", .rows = &row, .count = 1};
	struct gt_buf out = {0};
	gt_arg_help(&command, &out);
	assert_non_null(strstr(gt_buf_text(&out), word));
	gt_buf_free(&out);
}

// ---- values ----

static void doubles(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", " 1", "1 ", "1x", "nan", "inf", "-inf", "0x1p3", "1e400", "-1e400", "1e-400",
		"e5", ".", "-", "+", "1e", "1e+", "1,5", "--1", "1-04", "\xff",
	};
	double v;
	struct gt_err err = {0};
	for (size_t i = 0; i < GT_COUNTOF(bad); i++)
		assert_int_equal(gt_arg_double("tolerance", bad[i], &v, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, "flag '--tolerance': '\xff' is not a number");
	static const struct {
		const char *text;
		double value;
	} good[] = {{"0", 0}, {"-0.5", -0.5}, {"+1", 1}, {".25", 0.25}, {"2.", 2}, {"1e-3", 1e-3},
	            {"1E+3", 1000}, {"0e-999", 0}, {"1.7976931348623157e308", DBL_MAX}};
	for (size_t i = 0; i < GT_COUNTOF(good); i++) {
		assert_int_equal(gt_arg_double("t", good[i].text, &v, NULL), GT_OK);
		assert_true(v == good[i].value);
	}
}

static void integers(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "-", " 1", "1 ", "1.0", "1e3", "0x10", "0", "65",
	                                  "99999999999999999999", "-99999999999999999999"};
	int64_t v;
	struct gt_err err = {0};
	for (size_t i = 0; i < GT_COUNTOF(bad); i++)
		assert_int_equal(gt_arg_integer("jobs", bad[i], 1, 64, &v, &err), GT_BAD_USAGE);
	assert_string_equal(err.text,
	                    "flag '--jobs': -99999999999999999999 is not between 1 and 64");
	assert_int_equal(gt_arg_integer("jobs", "64", 1, 64, &v, NULL), GT_OK);
	assert_int_equal(v, 64);
	assert_int_equal(gt_arg_integer("jobs", "+07", 1, 64, &v, NULL), GT_OK);
	assert_int_equal(v, 7);
	assert_int_equal(gt_arg_integer("x", "-9223372036854775808", INT64_MIN, INT64_MAX, &v,
	                                NULL), GT_OK);
	assert_true(v == INT64_MIN);
}

static void durations(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double seconds;
	} good[] = {{"5", 5}, {"1.5", 1.5}, {"0", 0}, {"2m", 120}, {"500ms", 0.5}, {"30s", 30},
	            {"1.5h", 5400}, {".5m", 30}};
	double v;
	for (size_t i = 0; i < GT_COUNTOF(good); i++) {
		assert_int_equal(gt_arg_seconds("timeout", good[i].text, &v, NULL), GT_OK);
		assert_true(v > good[i].seconds - 1e-9 && v < good[i].seconds + 1e-9);
	}
	static const char *const bad[] = {
		"", "s", "ms", "-5", "+5", "5 m", "5d", "5mm", "1.2.3", "1e3", "inf", "nan",
		"9000h", "99999999999999999999999999",
	};
	struct gt_err err = {0};
	for (size_t i = 0; i < GT_COUNTOF(bad); i++)
		assert_int_equal(gt_arg_seconds("timeout", bad[i], &v, &err), GT_BAD_USAGE);
	assert_non_null(strstr(err.text, "more than a year"));
}

static void choices(void **state)
{
	(void)state;
	static const char *const modes[] = {"onnx-iree", "cl-onnx-iree", "ort-ep", NULL};
	size_t i;
	struct gt_err err = {0};
	assert_int_equal(gt_arg_choice("mode", "ort-ep", modes, &i, &err), GT_OK);
	assert_int_equal(i, 2);
	assert_int_equal(gt_arg_choice("mode", "onnx-ire", modes, &i, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, "flag '--mode': 'onnx-ire' is none of onnx-iree, "
	                              "cl-onnx-iree, ort-ep; did you mean 'onnx-iree'?");
	assert_int_equal(gt_arg_choice("mode", "", modes, &i, &err), GT_BAD_USAGE);
	assert_string_equal(err.text,
	                    "flag '--mode': '' is none of onnx-iree, cl-onnx-iree, ort-ep");
}

static void pairs(void **state)
{
	(void)state;
	char *name;
	const char *value;
	assert_int_equal(gt_arg_pair("dim", "a=b=3", &name, &value, NULL), GT_OK);
	assert_string_equal(name, "a=b");
	assert_string_equal(value, "3");
	free(name);
	static const char *const bad[] = {"", "=", "a", "a=", "=3"};
	struct gt_err err = {0};
	for (size_t i = 0; i < GT_COUNTOF(bad); i++)
		assert_int_equal(gt_arg_pair("dim", bad[i], &name, &value, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, "flag '--dim': '=3' has not the form NAME=VALUE");
}

static gt_code tolerance_of(const char *const *words, double *atol, double *rtol,
                            struct gt_err *err)
{
	struct gt_args args;
	assert_int_equal(parse(&run, words, &args, NULL), GT_OK);
	const struct gt_names *given = gt_arg_list(&args, "tolerance");
	gt_code rc = gt_arg_tolerance("tolerance", given, atol, rtol, err);
	gt_arg_free(&args);
	return rc;
}

static void tolerances(void **state)
{
	(void)state;
	double atol = 0, rtol = 0;
	struct gt_err err = {0};
	assert_int_equal(tolerance_of(WORDS("--tolerance", "1e-3", "0"), &atol, &rtol, &err),
	                 GT_OK);
	assert_true(atol == 1e-3 && rtol == 0);
	assert_int_equal(tolerance_of(WORDS("--tolerance", "0.5"), &atol, &rtol, &err), GT_OK);
	assert_true(atol == 0.5 && rtol == 0.5);
	assert_int_equal(tolerance_of(WORDS("--tolerance"), &atol, &rtol, &err), GT_BAD_USAGE);
	assert_string_equal(err.text, "flag '--tolerance' takes one or two numbers, not 0");
	assert_int_equal(tolerance_of(WORDS("--tolerance", "1", "2", "3"), &atol, &rtol, &err),
	                 GT_BAD_USAGE);
	assert_int_equal(tolerance_of(WORDS("--tolerance", "1", "-2"), &atol, &rtol, &err),
	                 GT_BAD_USAGE);
	assert_string_equal(err.text, "flag '--tolerance': -2 is negative");
	assert_int_equal(tolerance_of(WORDS("--tolerance", "1", "x"), &atol, &rtol, &err),
	                 GT_BAD_USAGE);
	assert_true(atol == 0.5 && rtol == 0.5); // a failure sets nothing
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(values),
		cmocka_unit_test(lists),
		cmocka_unit_test(positionals),
		cmocka_unit_test(sentences_about_flags),
		cmocka_unit_test(sentences_about_values),
		cmocka_unit_test(sentences_about_positionals),
		cmocka_unit_test(help_of_a_small_table),
		cmocka_unit_test(help_is_at_most_80_columns_wide),
		cmocka_unit_test(a_word_wider_than_the_line_stays_whole),
		cmocka_unit_test(doubles),
		cmocka_unit_test(integers),
		cmocka_unit_test(durations),
		cmocka_unit_test(choices),
		cmocka_unit_test(pairs),
		cmocka_unit_test(tolerances),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
