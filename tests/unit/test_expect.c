// Expected statuses: reading the file, and rewriting it after a run.
#include "base/file.h"
#include "suite/expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[] = "/tmp/gauntlet-expect-XXXXXX";
static char *path;

static int make_folder(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	path = gt_path_join(folder, "expected.txt");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	free(path);
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

static void put(const char *text)
{
	assert_int_equal(gt_file_write(path, text, strlen(text), NULL), GT_OK);
}

static void load(const char *text, struct gt_expectations *e)
{
	struct gt_err err = {0};
	put(text);
	if (gt_expect_load(path, e, &err))
		fail_msg("%s", err.text);
}

static void check_item(const struct gt_expectations *e, size_t i, const char *test,
                       const char *status, const char *reason, int line)
{
	assert_true(i < e->count);
	assert_string_equal(e->items[i].test, test);
	assert_string_equal(e->items[i].status, status);
	assert_string_equal(e->items[i].reason, reason);
	assert_int_equal(e->items[i].line, line);
}

static void test_reading(void **state)
{
	(void)state;
	struct gt_expectations e;
	load("# a comment\n"
	     "\n"
	     "a compilation no lowering  for this # op \t\n"
	     "  b\tNumerics:value\n"
	     "   # indented\n"
	     "c PASS\r\n"
	     "d%20e%25%C3%A9%23 results-summary:crash:SIGSEGV one reason\r\n"
	     "\xC3\xA9 compiled_inference:timeout",
	     &e);
	assert_int_equal(e.count, 5);
	check_item(&e, 0, "a", "compilation", "no lowering  for this # op", 3);
	check_item(&e, 1, "b", "Numerics:value", "", 4);
	check_item(&e, 2, "c", "PASS", "", 6);
	check_item(&e, 3, "d e%\xC3\xA9#", "results-summary:crash:SIGSEGV", "one reason", 7);
	check_item(&e, 4, "\xC3\xA9", "compiled_inference:timeout", "", 8);
	assert_string_equal(e.path, path);
	assert_ptr_equal(gt_expect_find(&e, "x.a", "a"), &e.items[0]);
	assert_ptr_equal(gt_expect_find(&e, "b", "a"), &e.items[1]); // the id goes first
	assert_ptr_equal(gt_expect_find(&e, "d e%\xC3\xA9#", ""), &e.items[3]);
	assert_null(gt_expect_find(&e, "A", "nothing"));
	gt_expect_free(&e);
	gt_expect_free(&e);
	assert_null(gt_expect_find(&e, "a", "a")); // an empty list expects nothing
	load("", &e);
	assert_int_equal(e.count, 0);
	gt_expect_free(&e);
	load("\xEF\xBB\xBF" "a PASS\n", &e);
	check_item(&e, 0, "a", "PASS", "", 1);
	gt_expect_free(&e);
}

static void refuse(const char *text, const char *sentence)
{
	struct gt_expectations e;
	struct gt_err err = {0};
	put(text);
	assert_int_equal(gt_expect_load(path, &e, &err), GT_BAD_DATA);
	if (!strstr(err.text, sentence) || !strstr(err.text, "expected.txt"))
		fail_msg("'%s' does not say '%s'", err.text, sentence);
	assert_int_equal(e.count, 0);
	assert_null(e.items);
}

static void test_refusals(void **state)
{
	(void)state;
	refuse("\na\n", "line 2: no status follows 'a'");
	refuse("a   \n", "line 1: no status");
	refuse("a pass\n", "'pass' is no status");
	refuse("a comparison\n", "is no status");
	refuse("a PASS:error\n", "is no status");
	refuse("a Numerics:\n", "is no status");
	refuse("a :error\n", "is no status");
	refuse("a compilationX\n", "is no status");
	refuse("a% PASS\n", "'a%'");
	refuse("a%4 PASS\n", "hexadecimal");
	refuse("a%GG PASS\n", "hexadecimal");
	refuse("a%00 PASS\n", "hexadecimal");
	refuse("a PASS\nb PASS\n#\na compilation\n", "line 4: test 'a' has a line already, line 1");
	refuse("a PASS\n%61 PASS\n", "line 2: test 'a' has a line already");
	struct gt_expectations e;
	struct gt_err err = {0};
	assert_int_equal(gt_file_write(path, "a\0 PASS\n", 8, NULL), GT_OK);
	assert_int_equal(gt_expect_load(path, &e, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "NUL"));
	assert_int_equal(gt_expect_load("/no/such/file", &e, &err), GT_NOT_FOUND);
}

static void test_many_lines(void **state)
{
	(void)state;
	struct gt_buf text = {0};
	char id[16];
	for (int i = 0; i < 3000; i++)
		gt_buf_printf(&text, "t%d compilation:error r%d\n", i, i);
	struct gt_expectations e;
	load(text.data, &e);
	assert_int_equal(e.count, 3000);
	for (int i = 0; i < 3000; i++) {
		snprintf(id, sizeof id, "t%d", i);
		assert_ptr_equal(gt_expect_find(&e, id, ""), &e.items[i]);
		assert_int_equal(e.items[i].line, i + 1);
	}
	gt_expect_free(&e);
	gt_buf_free(&text);
}

// --- the update ---

static struct gt_test_result test_of(const char *id, const char *status, const char *why,
                                     const char *message)
{
	return (struct gt_test_result){.id = (char *)id, .suite = (char *)"s", .status = (char *)status,
	                               .why = (char *)why, .message = (char *)message};
}

static void apply(struct gt_result *r, json_t *event)
{
	struct gt_err err = {0};
	if (gt_result_apply(r, event, &err))
		fail_msg("%s", err.text);
	json_decref(event);
}

// A result with these outcomes, made by the fold.
static void fold(struct gt_result *r, const struct gt_test_result *tests, size_t count)
{
	*r = (struct gt_result){0};
	apply(r, json_pack("{s:s,s:i,s:i,s:I}", "event", "run-start", "t", 0, "format", 1, "tests",
	                   (json_int_t)count));
	for (size_t i = 0; i < count; i++)
		apply(r, json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s}", "event", "test", "t", 0, "test", tests[i].id,
		                   "name", tests[i].id, "suite", tests[i].suite, "folder", "f",
		                   "expect", "PASS", "reason", ""));
	for (size_t i = 0; i < count; i++) {
		const char *status = tests[i].status;
		bool pass = strcmp(status, "PASS") == 0, partial = strcmp(tests[i].why, "partial") == 0;
		bool compared = strcmp(status, "Numerics") == 0 || strcmp(status, "results-summary") == 0;
		const char *stage = compared ? "comparison" : status;
		if (!*status)
			continue;
		if (!partial) {
			const char *ran = pass ? "comparison" : stage;
			apply(r, json_pack("{s:s,s:i,s:s,s:s,s:i}", "event", "stage-start", "t", 0, "test",
			                   tests[i].id, "stage", ran, "attempt", 1));
			apply(r, json_pack("{s:s,s:i,s:s,s:s,s:i,s:b,s:s,s:f}", "event", "stage-end", "t", 0, "test",
			                   tests[i].id, "stage", ran, "attempt", 1, "ok", pass, "why",
			                   tests[i].why, "seconds", 1.0));
		}
		apply(r, json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:s}", "event", "test-end", "t", 0, "test", tests[i].id,
		                   "status", status, "why", tests[i].why, "stage", pass ? "" : stage,
		                   "message", tests[i].message));
	}
}

static void check_update(const char *before, const struct gt_test_result *tests, size_t count,
                         const char *after)
{
	struct gt_result r;
	struct gt_err err = {0};
	struct gt_buf got = {0};
	struct gt_expectations e;
	fold(&r, tests, count);
	if (before)
		put(before);
	else
		assert_int_equal(gt_remove_tree(path, NULL), GT_OK);
	for (int again = 0; again < 2; again++) { // the second time changes nothing
		if (gt_expect_update(path, &r, &err))
			fail_msg("%s", err.text);
		got.length = 0;
		assert_int_equal(gt_file_read(path, 1 << 20, &got, NULL), GT_OK);
		assert_string_equal(gt_buf_text(&got), after);
	}
	// What was written is read, and expects this run.
	assert_int_equal(gt_expect_load(path, &e, &err), GT_OK);
	for (size_t i = 0; i < r.test_count; i++) {
		const struct gt_test_result *t = &r.tests[i];
		const char *name = strncmp(t->id, "s.", 2) == 0 ? t->id + 2 : t->id;
		const struct gt_expectation *x = gt_expect_find(&e, t->id, name);
		enum gt_verdict v = gt_verdict_of(x ? x->status : "PASS", t->status, t->why);
		bool outside = strcmp(t->why, "host") == 0 || strcmp(t->why, "killed") == 0 ||
		               strcmp(t->why, "partial") == 0 || !*t->status;
		assert_true(outside || v == GT_VERDICT_PASS || v == GT_VERDICT_XFAIL);
	}
	gt_expect_free(&e);
	gt_buf_free(&got);
	gt_result_free(&r);
}

#define CHECK(before, tests, after) check_update(before, tests, GT_COUNTOF(tests), after)

static void test_update_keeps(void **state)
{
	(void)state;
	const struct gt_test_result tests[] = {
		test_of("same", "compilation", "crash:SIGSEGV", "other words now"),
		test_of("unfinished", "", "", ""),
		test_of("starved", "import_model", "host", "the host could not start"),
		test_of("shot", "import_model", "killed", "killed from outside"),
		test_of("part", "PASS", "partial", ""),
		test_of("fine", "PASS", "", ""),
	};
	const char *text = "# head\n"
			   "zzz Numerics:shape did not run\n"
			   "\n"
			   "same   compilation   as it was written # 12\n"
			   "unfinished setup r\n"
			   "starved setup r\n"
			   "shot setup r\n"
			   "part compilation r\n"
			   "  # tail\n";
	CHECK(text, tests, text);
}

static void test_update_changes(void **state)
{
	(void)state;
	const struct gt_test_result tests[] = {
		test_of("new", "import_model", "error", "no\nway \x1b[31m"),
		test_of("passes", "PASS", "", ""),
		test_of("moved", "Numerics", "value", "3 of 12 differ"),
		test_of("why", "compilation", "timeout", "ran too long"),
		test_of("mute", "setup", "protocol", ""),
		test_of("odd na%me#\xC3\xA9\n", "results-summary", "crash:SIGABRT", "m"),
	};
	CHECK("# keep\npasses compilation gone\nmoved compilation old reason\n"
	      "why compilation:crash old\n# and this",
	      tests,
	      "# keep\nmoved Numerics:value 3 of 12 differ\nwhy compilation:timeout ran too long\n"
	      "# and this\nnew import_model no way \\x1B[31m\nmute setup:protocol\n"
	      "odd%20na%25me%23%C3%A9%0A results-summary:crash:SIGABRT m\n");
}

static void test_update_lists_passing(void **state)
{
	(void)state;
	const struct gt_test_result tests[] = {
		test_of("a", "PASS", "", ""),
		test_of("b", "PASS", "", ""),
		test_of("c", "PASS", "", ""),
		test_of("d", "setup", "error", "m"),
	};
	CHECK("a PASS\nb compilation why\nd PASS\n", tests, "a PASS\nb PASS\nd setup m\nc PASS\n");
	CHECK("b compilation why\n", tests, "d setup m\n");
}

static void test_update_shared_name(void **state)
{
	(void)state;
	// "s.a" is called "a", as another suite's test is; the shared line is not ours to change.
	const struct gt_test_result passes[] = {test_of("s.a", "PASS", "", ""),
	                                        test_of("q", "PASS", "", "")};
	CHECK("a compilation both\n", passes, "a compilation both\ns.a PASS\n");
	CHECK("a compilation both\ns.a setup x\n", passes, "a compilation both\ns.a PASS\n");
	const struct gt_test_result fails[] = {test_of("s.a", "compilation", "error", "m")};
	CHECK("a compilation both\n", fails, "a compilation both\n");
	CHECK("a setup both\n", fails, "a setup both\ns.a compilation m\n");
	CHECK("a setup both\ns.a PASS\n", fails, "a setup both\ns.a compilation m\n");
}

static void test_update_new_file(void **state)
{
	(void)state;
	const struct gt_test_result tests[] = {test_of("a", "PASS", "", ""),
	                                       test_of("b", "setup", "error", "m")};
	CHECK(NULL, tests,
	      "# Expected statuses, one test a line: name, status (or STATUS:WHY), reason.\n"
	      "# Tests that are not listed must pass.\nb setup m\n");
}

static void test_update_cuts_reasons(void **state)
{
	(void)state;
	char message[256], wanted[300];
	memset(message, 'x', 99);
	strcpy(message + 99, "\xC3\xA9 and more"); // the character does not fit any more
	snprintf(wanted, sizeof wanted, "# c\na setup %.99s\n", message);
	const struct gt_test_result cut[] = {test_of("a", "setup", "error", message)};
	CHECK("# c\n", cut, wanted);
	message[98] = '\0';
	strcat(message, "\xC3\xA9");
	snprintf(wanted, sizeof wanted, "# c\na setup %s\n", message);
	const struct gt_test_result whole[] = {test_of("a", "setup", "error", message)};
	CHECK("# c\n", whole, wanted);
}

static void test_update_refuses_a_bad_file(void **state)
{
	(void)state;
	struct gt_result r = {0};
	struct gt_err err = {0};
	struct gt_buf got = {0};
	put("a nonsense\n");
	assert_int_equal(gt_expect_update(path, &r, &err), GT_BAD_DATA);
	assert_int_equal(gt_file_read(path, 100, &got, NULL), GT_OK);
	assert_string_equal(gt_buf_text(&got), "a nonsense\n"); // as it was
	gt_buf_free(&got);
	assert_int_equal(gt_expect_update("/no/such/folder/x", &r, &err), GT_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_update_keeps),
		cmocka_unit_test(test_update_changes),
		cmocka_unit_test(test_update_lists_passing),
		cmocka_unit_test(test_update_shared_name),
		cmocka_unit_test(test_update_new_file),
		cmocka_unit_test(test_update_cuts_reasons),
		cmocka_unit_test(test_update_refuses_a_bad_file),
	};
	return cmocka_run_group_tests_name("expect", tests, make_folder, remove_folder);
}
