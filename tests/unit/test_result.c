// The fold of a journal: what follows from it, and what cannot follow.
#include "base/file.h"
#include "core/event.h"
#include "core/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static gt_code try_apply(struct gt_result *r, struct gt_err *err, const char *text)
{
	json_error_t why;
	json_t *event = json_loads(text, 0, &why);
	if (!event)
		fail_msg("%s: %s", why.text, text);
	gt_code rc = gt_result_apply(r, event, err);
	json_decref(event);
	return rc;
}

static void apply(struct gt_result *r, const char *text)
{
	struct gt_err err = {0};
	if (try_apply(r, &err, text))
		fail_msg("%s: %s", text, err.text);
}

static char *written(const struct gt_result *r)
{
	struct gt_buf text = {0};
	gt_result_write(r, &text);
	return gt_buf_take(&text);
}

// Refused with a sentence that holds `sentence`, and nothing has changed.
static void refuse(struct gt_result *r, const char *text, const char *sentence)
{
	struct gt_err err = {0};
	char *before = written(r);
	assert_int_equal(try_apply(r, &err, text), GT_BAD_DATA);
	if (!strstr(err.text, sentence))
		fail_msg("'%s' does not say '%s'", err.text, sentence);
	char *after = written(r);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

#define RUN_START(n)                                                                               \
	"{\"event\":\"run-start\",\"t\":0,\"format\":1,\"run\":\"r\",\"tests\":" #n "}"
#define TEST(id, expect)                                                                           \
	"{\"event\":\"test\",\"t\":1,\"test\":\"" id "\",\"name\":\"n\",\"suite\":\"s\","          \
	"\"folder\":\"f\",\"expect\":\"" expect "\",\"reason\":\"because\"}"
#define START(id, stage, attempt)                                                                  \
	"{\"event\":\"stage-start\",\"t\":2,\"test\":\"" id "\",\"stage\":\"" stage                \
	"\",\"attempt\":" #attempt "}"
#define STOP(id, stage, attempt, rest)                                                             \
	"{\"event\":\"stage-end\",\"t\":3,\"test\":\"" id "\",\"stage\":\"" stage                  \
	"\",\"attempt\":" #attempt "," rest "}"
#define OK(s) "\"ok\":true,\"why\":\"\",\"message\":\"\",\"seconds\":" #s
#define BAD(s, why) "\"ok\":false,\"why\":\"" why "\",\"message\":\"m\",\"seconds\":" #s
#define END(id, status, why, stage)                                                                \
	"{\"event\":\"test-end\",\"t\":4000000000,\"test\":\"" id "\",\"status\":\"" status        \
	"\",\"why\":\"" why "\",\"stage\":\"" stage "\",\"message\":\"m\"}"
#define RUN_END(complete)                                                                          \
	"{\"event\":\"run-end\",\"t\":5000000000,\"complete\":" #complete ",\"reason\":\"\"}"

static void check_verdict(const char *expected, const char *status, const char *why,
                          enum gt_verdict wanted)
{
	enum gt_verdict got = gt_verdict_of(expected, status, why);
	if (got != wanted)
		fail_msg("%s, %s:%s is %s, not %s", expected, status, why, gt_verdict_name(got),
		         gt_verdict_name(wanted));
}

static void test_verdicts(void **state)
{
	(void)state;
	check_verdict("PASS", "", "", GT_VERDICT_NONE);
	check_verdict("compilation", "", "", GT_VERDICT_NONE);
	check_verdict("PASS", "PASS", "", GT_VERDICT_PASS);
	check_verdict("", "PASS", "", GT_VERDICT_PASS);
	check_verdict("PASS", "PASS", "partial", GT_VERDICT_PASS);
	check_verdict("PASS", "compilation", "error", GT_VERDICT_FAIL);
	check_verdict("", "Numerics", "value", GT_VERDICT_FAIL);
	check_verdict("compilation", "PASS", "", GT_VERDICT_XPASS);
	check_verdict("compilation", "PASS", "partial", GT_VERDICT_XPASS);
	check_verdict("compilation", "compilation", "error", GT_VERDICT_XFAIL);
	check_verdict("compilation", "compilation", "crash:SIGSEGV", GT_VERDICT_XFAIL);
	check_verdict("compilation", "import_model", "error", GT_VERDICT_FAIL);
	check_verdict("compilation", "compilatio", "error", GT_VERDICT_FAIL);
	check_verdict("compilatio", "compilation", "error", GT_VERDICT_FAIL);
	check_verdict("compilation:crash", "compilation", "crash:SIGSEGV", GT_VERDICT_XFAIL);
	check_verdict("compilation:crash", "compilation", "crash", GT_VERDICT_XFAIL);
	check_verdict("compilation:crash", "compilation", "crashed", GT_VERDICT_FAIL);
	check_verdict("compilation:crash", "compilation", "error", GT_VERDICT_FAIL);
	check_verdict("compilation:crash:SIGSEGV", "compilation", "crash:SIGSEGV", GT_VERDICT_XFAIL);
	check_verdict("compilation:crash:SIGSEGV", "compilation", "crash:SIGABRT", GT_VERDICT_FAIL);
	check_verdict("compilation:crash:SIGSEGV", "compilation", "crash", GT_VERDICT_FAIL);
	check_verdict("compilation:error", "compilation", "error", GT_VERDICT_XFAIL);
	check_verdict("Numerics", "Numerics", "shape", GT_VERDICT_XFAIL);
	check_verdict("Numerics:value", "Numerics", "shape", GT_VERDICT_FAIL);
	check_verdict("Numerics:value", "Numerics", "value", GT_VERDICT_XFAIL);
	check_verdict("Numerics", "PASS", "", GT_VERDICT_XPASS);
	// A run of some stages has not looked at what these expect.
	check_verdict("Numerics", "PASS", "partial", GT_VERDICT_PASS);
	check_verdict("results-summary", "PASS", "partial", GT_VERDICT_PASS);
	assert_string_equal(gt_verdict_name(GT_VERDICT_XPASS), "XPASS");
	assert_string_equal(gt_verdict_name((enum gt_verdict)99), "NONE");
}

static void test_a_run(void **state)
{
	(void)state;
	struct gt_result r = {0};
	assert_null(gt_result_find(&r, "a"));
	apply(&r, RUN_START(3));
	apply(&r, TEST("a", "PASS"));
	apply(&r, TEST("b", "compilation:crash"));
	apply(&r, TEST("c", "PASS"));
	assert_int_equal(r.verdicts[GT_VERDICT_NONE], 3);
	apply(&r, START("a", "comparison", 1));
	apply(&r, START("b", "compilation", 1));
	apply(&r, STOP("a", "comparison", 1, OK(0.25) ",\"detail\":{\"vacuous\":true}"));
	apply(&r, STOP("b", "compilation", 1, BAD(1.5, "crash:SIGSEGV")));
	apply(&r, END("a", "PASS", "", ""));
	apply(&r, END("b", "compilation", "crash:SIGSEGV", "compilation"));
	apply(&r, START("c", "comparison", 1));
	apply(&r, STOP("c", "comparison", 1, BAD(0, "value")));
	apply(&r, END("c", "Numerics", "value", "comparison"));
	assert_false(r.ended);
	apply(&r, RUN_END(true));
	assert_true(r.ended && r.complete);
	assert_true(r.seconds == 5.0);
	struct gt_test_result *a = gt_result_find(&r, "a"), *b = gt_result_find(&r, "b");
	assert_ptr_equal(a, &r.tests[0]);
	assert_ptr_equal(b, &r.tests[1]);
	assert_true(a->vacuous && !b->vacuous);
	assert_true(a->seconds == 0.25 && a->stages[GT_COMPARISON].ran && !a->stages[GT_SETUP].ran);
	assert_int_equal(a->verdict, GT_VERDICT_PASS);
	assert_int_equal(b->verdict, GT_VERDICT_XFAIL);
	assert_int_equal(gt_result_find(&r, "c")->verdict, GT_VERDICT_FAIL);
	assert_string_equal(b->why, "crash:SIGSEGV");
	assert_string_equal(b->reason, "because");
	assert_int_equal(r.verdicts[GT_VERDICT_NONE], 0);
	assert_int_equal(r.verdicts[GT_VERDICT_PASS], 1);
	assert_null(json_object_get(r.run, "event"));
	assert_string_equal(gt_json_string_or(r.run, "run", ""), "r");
	gt_result_free(&r);
	gt_result_free(&r); // may be called twice
}

static void test_attempts(void **state)
{
	(void)state;
	struct gt_result r = {0};
	apply(&r, RUN_START(1));
	apply(&r, TEST("a", "PASS"));
	refuse(&r, STOP("a", "setup", 1, OK(1)), "does not run");
	apply(&r, START("a", "setup", 1));
	refuse(&r, START("a", "setup", 1), "while it runs");
	refuse(&r, START("a", "setup", 2), "while it runs");
	refuse(&r, STOP("a", "setup", 2, OK(1)), "does not run");
	apply(&r, STOP("a", "setup", 1, BAD(4, "host")));
	refuse(&r, STOP("a", "setup", 1, OK(1)), "does not run");
	refuse(&r, START("a", "setup", 1), "after attempt 1");
	apply(&r, START("a", "setup", 2));
	apply(&r, STOP("a", "setup", 2, OK(0.5)));
	assert_true(r.tests[0].stages[GT_SETUP].ok); // the last attempt counts, alone
	assert_true(r.tests[0].seconds == 0.5);
	apply(&r, END("a", "PASS", "partial", ""));
	assert_int_equal(r.tests[0].verdict, GT_VERDICT_PASS);
	gt_result_free(&r);
}

static void test_partial(void **state)
{
	(void)state;
	struct gt_result r = {0};
	apply(&r, RUN_START(2));
	apply(&r, TEST("a", "compiled_inference"));
	apply(&r, TEST("b", "compilation"));
	apply(&r, START("a", "compilation", 1));
	apply(&r, STOP("a", "compilation", 1, OK(1)));
	apply(&r, END("a", "PASS", "partial", ""));
	assert_int_equal(r.tests[0].verdict, GT_VERDICT_PASS); // it never came to that stage
	apply(&r, START("b", "compilation", 1));
	apply(&r, STOP("b", "compilation", 1, OK(1)));
	apply(&r, END("b", "PASS", "partial", ""));
	assert_int_equal(r.tests[1].verdict, GT_VERDICT_XPASS);
	gt_result_free(&r);
}

static void test_order_of_events(void **state)
{
	(void)state;
	struct gt_result r = {0};
	refuse(&r, TEST("a", "PASS"), "before the start");
	refuse(&r, RUN_END(true), "before the start");
	refuse(&r, "{\"event\":\"run-start\",\"t\":0,\"format\":2,\"tests\":0}", "format 2");
	refuse(&r, "{\"event\":\"run-start\",\"t\":0,\"format\":0,\"tests\":0}", "format 0");
	refuse(&r, "{\"event\":\"run-start\",\"t\":0,\"tests\":0}", "\"format\"");
	refuse(&r, "{\"event\":\"run-start\",\"t\":0,\"format\":1}", "\"tests\"");
	refuse(&r, "{\"event\":\"run-start\",\"t\":-1,\"format\":1,\"tests\":0}", "before time");
	refuse(&r, "{\"event\":\"run-start\",\"format\":1,\"tests\":0}", "\"t\"");
	refuse(&r, "{\"event\":\"tests\",\"t\":0}", "no event 'tests'");
	refuse(&r, "{\"t\":0}", "\"event\"");
	refuse(&r, "[]", "\"event\"");
	apply(&r, RUN_START(2));
	refuse(&r, RUN_START(2), "started already");
	apply(&r, TEST("a", "PASS"));
	refuse(&r, TEST("a", "PASS"), "named twice");
	refuse(&r, START("a", "setup", 1), "has 2 tests, but 1");
	refuse(&r, RUN_END(true), "has 2 tests, but 1");
	static const char *const elsewhere[] = {"", ".", "..", ".x", "/etc", "../x", "a/b"};
	for (size_t i = 0; i < GT_COUNTOF(elsewhere); i++) {
		char *text = gt_format("{\"event\":\"test\",\"t\":1,\"test\":\"b\",\"suite\":\"s\","
		                       "\"folder\":\"%s\",\"expect\":\"PASS\",\"reason\":\"\"}",
		                       elsewhere[i]);
		refuse(&r, text, "that is no name");
		free(text);
	}
	apply(&r, TEST("b", "PASS"));
	apply(&r, START("a", "setup", 1));
	refuse(&r, TEST("c", "PASS"), "after the first stage");
	apply(&r, "{\"event\":\"stage-end\",\"t\":9000000000,\"test\":\"a\",\"stage\":\"setup\","
	          "\"attempt\":1," OK(1) "}");
	apply(&r, RUN_END(false));
	assert_true(r.seconds == 9.0); // the latest time, whatever the order
	assert_true(r.ended && !r.complete);
	refuse(&r, RUN_END(false), "after the end");
	refuse(&r, STOP("a", "setup", 1, OK(1)), "after the end");
	gt_result_free(&r);
}

static void test_bad_members(void **state)
{
	(void)state;
	struct gt_result r = {0};
	apply(&r, RUN_START(1));
	static const char *const bad_expectations[] = {TEST("a", "pass"), TEST("a", ""),
	                                               TEST("a", "PASS:error"),
	                                               TEST("a", "comparison"),
	                                               TEST("a", "Numerics:"), TEST("a", ":error")};
	for (size_t i = 0; i < GT_COUNTOF(bad_expectations); i++)
		refuse(&r, bad_expectations[i], "unknown status");
	refuse(&r, "{\"event\":\"test\",\"t\":1,\"test\":5}", "\"test\"");
	refuse(&r, "{\"event\":\"test\",\"t\":1,\"test\":\"a\"}", "\"suite\"");
	refuse(&r, TEST("", "PASS"), "no name");
	apply(&r, TEST("a", "results-summary:crash"));
	refuse(&r, START("b", "setup", 1), "no test 'b'");
	refuse(&r, START("a", "set", 1), "no stage 'set'");
	refuse(&r, START("a", "results-summary", 1), "no stage");
	refuse(&r, START("a", "setup", "1"), "\"attempt\"");
	refuse(&r, START("a", "setup", 0), "attempt 0");
	apply(&r, START("a", "setup", 1));
	refuse(&r, STOP("a", "setup", 1, "\"ok\":1,\"why\":\"\",\"seconds\":1"), "\"ok\"");
	refuse(&r, STOP("a", "setup", 1, "\"ok\":true,\"seconds\":1"), "\"why\"");
	refuse(&r, STOP("a", "setup", 1, "\"ok\":true,\"why\":\"error\",\"seconds\":1"), "why not");
	refuse(&r, STOP("a", "setup", 1, "\"ok\":false,\"why\":\"\",\"seconds\":1"), "without");
	refuse(&r, STOP("a", "setup", 1, BAD(1, "a\\n")), "ends with why");
	refuse(&r, STOP("a", "setup", 1, OK(-1)), "no time");
	refuse(&r, STOP("a", "setup", 1, OK("NaN")), "no time");
	refuse(&r, "{\"event\":\"run-end\",\"t\":5}", "\"complete\"");
	gt_result_free(&r);
}

// A terminal state must agree with what the stages said.
static void test_contradictions(void **state)
{
	(void)state;
	struct gt_result r = {0};
	apply(&r, RUN_START(2));
	apply(&r, TEST("a", "PASS"));
	apply(&r, TEST("b", "PASS"));
	apply(&r, START("a", "setup", 1));
	refuse(&r, END("a", "setup", "error", "setup"), "while setup runs");
	apply(&r, STOP("a", "setup", 1, OK(1)));
	refuse(&r, END("a", "PASS", "", ""), "without a comparison");
	refuse(&r, END("a", "Numerics", "value", "comparison"), "without a comparison");
	refuse(&r, END("a", "PASS", "error", ""), "why 'error'");
	refuse(&r, END("a", "PASS", "partial", "setup"), "in stage 'setup'");
	refuse(&r, END("a", "setup", "error", "setup"), "went well");
	refuse(&r, END("a", "compilation", "", "compilation"), "why ''");
	refuse(&r, END("a", "compilation", "partial", "compilation"), "why 'partial'");
	refuse(&r, END("a", "compilation", "two words", "compilation"), "why 'two words'");
	refuse(&r, END("a", "compilation", "error", "setup"), "in stage 'setup'");
	refuse(&r, END("a", "results-summary", "error", "results-summary"), "in stage");
	refuse(&r, END("a", "comparison", "error", "comparison"), "unknown status");
	refuse(&r, END("a", "", "error", ""), "unknown status");
	apply(&r, START("a", "import_model", 1));
	apply(&r, STOP("a", "import_model", 1, BAD(1, "timeout")));
	refuse(&r, END("a", "PASS", "partial", ""), "although import_model failed");
	apply(&r, END("a", "import_model", "timeout", "import_model"));
	refuse(&r, END("a", "import_model", "timeout", "import_model"), "ended already");
	refuse(&r, START("a", "setup", 2), "ended already");
	apply(&r, RUN_END(true));
	assert_true(r.seconds == 5.0);
	assert_true(r.ended && !r.complete); // "b" has no terminal state, whatever the event says
	gt_result_free(&r);
}

static void test_many_tests(void **state)
{
	(void)state;
	struct gt_result r = {0};
	apply(&r, RUN_START(1000));
	for (int i = 0; i < 1000; i++) {
		char *text = gt_format("{\"event\":\"test\",\"t\":1,\"test\":\"t%d\",\"suite\":\"\","
		                       "\"folder\":\"f\",\"expect\":\"PASS\",\"reason\":\"\"}", i);
		apply(&r, text);
		free(text);
	}
	for (int i = 0; i < 1000; i++) {
		char id[16];
		snprintf(id, sizeof id, "t%d", i);
		assert_ptr_equal(gt_result_find(&r, id), &r.tests[i]);
	}
	assert_null(gt_result_find(&r, "t1000"));
	gt_result_free(&r);
}

static void test_json(void **state)
{
	(void)state;
	struct gt_result r = {0};
	char *text = written(&r);
	json_t *none = json_loads(text, 0, NULL);
	assert_true(json_is_null(json_object_get(none, "run")));
	assert_int_equal(json_array_size(json_object_get(none, "tests")), 0);
	json_decref(none);
	free(text);
	apply(&r, RUN_START(2));
	apply(&r, TEST("a", "PASS"));
	apply(&r, TEST("b", "PASS"));
	apply(&r, START("a", "setup", 1));
	apply(&r, STOP("a", "setup", 1, BAD(0.12345678, "crash:SIGABRT")));
	apply(&r, END("a", "setup", "crash:SIGABRT", "setup"));
	text = written(&r);
	json_t *wanted = json_loads(
		"{\"format\":1,\"run\":{\"t\":0,\"format\":1,\"run\":\"r\",\"tests\":2},"
		"\"complete\":false,\"seconds\":4.0,\"counts\":{\"by_verdict\":{\"PASS\":0,"
		"\"XFAIL\":0,\"XPASS\":0,\"FAIL\":1,\"NONE\":1},\"by_status\":{\"setup\":1,"
		"\"import_model\":0,\"preprocessing\":0,\"compilation\":0,\"construct_inputs\":0,"
		"\"native_inference\":0,\"compiled_inference\":0,\"postprocessing\":0,"
		"\"results-summary\":0,\"Numerics\":0,\"PASS\":0}},\"notes\":[],\"tests\":[{\"test\":\"a\","
		"\"suite\":\"s\",\"folder\":\"f\",\"status\":\"setup\",\"why\":\"crash:SIGABRT\","
		"\"stage\":\"setup\",\"message\":\"m\",\"verdict\":\"FAIL\",\"expected\":\"PASS\","
		"\"reason\":\"because\",\"vacuous\":false,\"flaky\":false,\"leftovers\":0,"
		"\"leaked\":\"\",\"seconds\":0.123457,"
		"\"stages\":{\"setup\":{\"ok\":false,\"seconds\":0.123457}}},{\"test\":\"b\","
		"\"suite\":\"s\",\"folder\":\"f\",\"status\":\"\",\"why\":\"\",\"stage\":\"\","
		"\"message\":\"\",\"verdict\":\"NONE\",\"expected\":\"PASS\",\"reason\":\"because\","
		"\"vacuous\":false,\"flaky\":false,\"leftovers\":0,\"leaked\":\"\",\"seconds\":0.0,"
		"\"stages\":{}}]}",
		0, NULL);
	assert_non_null(wanted);
	char *wanted_text = json_dumps(wanted, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	assert_int_equal(strncmp(text, wanted_text, strlen(wanted_text)), 0); // order and blanks too
	assert_string_equal(text + strlen(wanted_text), "\n");
	free(wanted_text);
	free(text);
	json_decref(wanted);
	gt_result_free(&r);
}

static char *make_journal(const char *const *events, size_t count, size_t cut)
{
	char template[] = "/tmp/gauntlet-result-XXXXXX";
	char *folder = mkdtemp(template);
	assert_non_null(folder);
	struct gt_buf text = {0};
	for (size_t i = 0; i < count; i++) {
		json_t *event = json_loads(events[i], 0, NULL);
		assert_non_null(event);
		char *line = gt_event_line(event, GT_EVENT_FIRST + i);
		gt_buf_puts(&text, line);
		free(line);
		json_decref(event);
	}
	char *path = gt_path_join(folder, "events.jsonl");
	assert_int_equal(gt_file_write(path, gt_buf_text(&text), text.length - cut, NULL), GT_OK);
	gt_buf_free(&text);
	free(path);
	return gt_strdup(folder);
}

static void drop_folder(char *folder)
{
	assert_int_equal(gt_remove_tree(folder, NULL), GT_OK);
	free(folder);
}

static void test_load(void **state)
{
	(void)state;
	static const char *const events[] = {
		RUN_START(1),
		TEST("a", "PASS"),
		START("a", "setup", 1),
		STOP("a", "setup", 1, BAD(1, "error")),
		END("a", "setup", "error", "setup"),
		RUN_END(true),
	};
	struct gt_result r;
	char *folder = make_journal(events, GT_COUNTOF(events), 0);
	assert_int_equal(gt_result_load(folder, &r, NULL), GT_OK);
	assert_true(r.complete);
	gt_result_free(&r);
	drop_folder(folder);

	folder = make_journal(events, GT_COUNTOF(events), 1); // torn: the run has not ended
	assert_int_equal(gt_result_load(folder, &r, NULL), GT_OK);
	assert_true(!r.ended && !r.complete && r.verdicts[GT_VERDICT_FAIL] == 1);
	assert_true(r.seconds == 4.0);
	gt_result_free(&r);
	drop_folder(folder);

	static const char *const impossible[] = {RUN_START(0), END("a", "PASS", "", "")};
	struct gt_err err = {0};
	folder = make_journal(impossible, GT_COUNTOF(impossible), 0);
	assert_int_equal(gt_result_load(folder, &r, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "events.jsonl' line 2: test-end: there is no test 'a'"));
	assert_int_equal(r.test_count, 0);
	assert_null(r.run);
	drop_folder(folder);
	assert_int_equal(gt_result_load("/no/such/folder", &r, &err), GT_NOT_FOUND);
}

#define RESUME(again) \
	"{\"event\":\"run-resume\",\"t\":6000000000,\"wall\":\"w\",\"argv\":[],\"jobs\":1," \
	"\"again\":[" again "]}"

static void test_resume(void **state)
{
	(void)state;
	struct gt_result r = {0};
	refuse(&r, RESUME(""), "before the start");
	apply(&r, RUN_START(3));
	apply(&r, TEST("a", "PASS"));
	apply(&r, TEST("b", "PASS"));
	refuse(&r, RESUME(""), "3 tests, but 2 are named");
	apply(&r, TEST("c", "PASS"));
	apply(&r, START("a", "setup", 1));
	apply(&r, STOP("a", "setup", 1, BAD(1, "error")));
	apply(&r, END("a", "setup", "error", "setup"));
	apply(&r, START("b", "setup", 1)); // is under way when it all ends, one stage done and one not
	apply(&r, STOP("b", "setup", 1, OK(1)));
	apply(&r, START("b", "import_model", 1));
	apply(&r, RUN_END(false));
	refuse(&r, START("c", "setup", 1), "after the end");
	refuse(&r, RESUME("\"b\""), "no test 'b' that has ended");
	refuse(&r, RESUME("\"a\",\"d\""), "no test 'd' that has ended");
	refuse(&r, RESUME("\"a\",1"), "no test '?'");
	refuse(&r, "{\"event\":\"run-resume\",\"t\":6,\"wall\":\"w\"}", "\"again\"");
	refuse(&r, "{\"event\":\"run-resume\",\"t\":6,\"again\":[]}", "\"wall\"");

	apply(&r, RESUME(""));
	assert_true(!r.ended && !r.complete && !r.reason);
	assert_string_equal(r.tests[0].status, "setup"); // what has ended stays
	assert_false(r.tests[1].stages[GT_SETUP].ran);   // the rest begins anew
	assert_true(r.tests[1].seconds == 0);
	refuse(&r, STOP("b", "import_model", 1, OK(1)), "does not run");
	refuse(&r, START("a", "setup", 2), "ended already");
	apply(&r, START("b", "setup", 1));
	apply(&r, STOP("b", "setup", 1, OK(1)));
	apply(&r, END("b", "PASS", "partial", ""));
	apply(&r, START("c", "setup", 1));
	apply(&r, STOP("c", "setup", 1, OK(1)));
	apply(&r, END("c", "PASS", "partial", ""));
	assert_int_equal(r.verdicts[GT_VERDICT_NONE], 0);
	apply(&r, RUN_END(true));
	assert_true(r.ended && r.complete);
	assert_int_equal(json_array_size(json_object_get(r.run, "resumed")), 1);
	gt_result_free(&r);
}

// Run again: the same ending is the same, another one is flaky, and what was killed says nothing.
static void test_run_again(void **state)
{
	(void)state;
	static const struct {
		const char *first, *second;
		bool flaky;
	} cases[] = {
		{"error", "error", false}, {"error", "crash:SIGSEGV", true}, {"error", "", true},
		{"killed", "", false}, {"host", "error", false},
	};
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		struct gt_result r = {0};
		struct gt_err err = {0};
		apply(&r, RUN_START(1));
		apply(&r, TEST("a", "PASS"));
		for (int round = 0; round < 2; round++) {
			const char *why = round ? cases[i].second : cases[i].first;
			bool ok = !*why;
			if (round)
				apply(&r, RESUME("\"a\",\"a\""));
			assert_int_equal(r.verdicts[GT_VERDICT_NONE], 1);
			const struct gt_test_result *t = &r.tests[0]; // nothing is left of how it ended
			const char *const texts[] = {t->status, t->why, t->stage, t->message, t->leaked};
			for (size_t k = 0; k < GT_COUNTOF(texts); k++)
				assert_string_equal(texts[k], "");
			apply(&r, START("a", "setup", 1));
			char *stop = gt_format("{\"event\":\"stage-end\",\"t\":7,\"test\":\"a\",\"stage\":"
			                       "\"setup\",\"attempt\":1,\"ok\":%s,\"why\":\"%s\","
			                       "\"seconds\":1}", ok ? "true" : "false", why);
			char *end = gt_format("{\"event\":\"test-end\",\"t\":8,\"test\":\"a\",\"status\":"
			                      "\"%s\",\"why\":\"%s\",\"stage\":\"%s\",\"message\":\"%s\"}",
			                      ok ? "PASS" : "setup", ok ? "partial" : why, ok ? "" : "setup",
			                      ok ? "" : "It broke.");
			apply(&r, stop);
			assert_int_equal(try_apply(&r, &err, end), GT_OK);
			apply(&r, RUN_END(true));
			assert_true(r.complete);
			free(stop);
			free(end);
		}
		if (r.tests[0].flaky != cases[i].flaky)
			fail_msg("%s, then '%s'", cases[i].first, cases[i].second);
		gt_result_free(&r);
	}
}

// What tells of a stage is compared with what told of it last, also if the surroundings came between, or
// the run was interrupted ("|").
static void test_flaky(void **state)
{
	(void)state;
	static const struct {
		const char *whys[5]; // "ok": it went well
		bool flaky;
	} cases[] = {
		{{"ok"}, false},
		{{"timeout", "ok"}, true},
		{{"timeout", "timeout"}, false},
		{{"timeout", "killed", "ok"}, true},
		{{"timeout", "host", "killed", "ok"}, true},
		{{"error", "killed", "error"}, false},
		{{"killed", "host", "ok"}, false},
		{{"error", "|", "ok"}, true},
		{{"error", "killed", "|", "ok"}, true},
		{{"ok", "|", "ok"}, false},
		{{"ok", "|", "error"}, true},
		{{"killed", "|", "error"}, false},
	};
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		struct gt_result r = {0};
		struct gt_err err = {0};
		int attempt = 0;
		apply(&r, RUN_START(1));
		apply(&r, TEST("a", "PASS"));
		for (const char *const *why = cases[i].whys; *why; why++) {
			bool ok = strcmp(*why, "ok") == 0;
			if (strcmp(*why, "|") == 0) {
				apply(&r, RUN_END(false));
				apply(&r, RESUME(""));
				attempt = 0;
				continue;
			}
			char *start = gt_format("{\"event\":\"stage-start\",\"t\":7,\"test\":\"a\",\"stage\":"
			                        "\"setup\",\"attempt\":%d}", ++attempt);
			char *stop = gt_format("{\"event\":\"stage-end\",\"t\":7,\"test\":\"a\",\"stage\":"
			                       "\"setup\",\"attempt\":%d,\"ok\":%s,\"why\":\"%s\","
			                       "\"seconds\":1}", attempt, ok ? "true" : "false", ok ? "" : *why);
			assert_int_equal(try_apply(&r, &err, start), GT_OK);
			assert_int_equal(try_apply(&r, &err, stop), GT_OK);
			free(start);
			free(stop);
		}
		if (r.tests[0].flaky != cases[i].flaky)
			fail_msg("case %zu", i);
		gt_result_free(&r);
	}
}

#define LEAK(count, names) ",\"leftovers\":" #count ",\"leaked\":\"" names "\""

// Every attempt counts; the same names once. What a test left before it is run again is forgotten.
static void test_leaks(void **state)
{
	(void)state;
	struct gt_result r = {0};
	apply(&r, RUN_START(1));
	apply(&r, TEST("a", "PASS"));
	apply(&r, START("a", "setup", 1));
	apply(&r, STOP("a", "setup", 1, BAD(1, "leaked") LEAK(2, "cat, sleep")));
	assert_int_equal(r.tests[0].leftovers, 2);
	apply(&r, START("a", "setup", 2));
	apply(&r, STOP("a", "setup", 2, OK(1) LEAK(1, "sleep")));
	apply(&r, START("a", "import_model", 1));
	apply(&r, STOP("a", "import_model", 1, OK(1) LEAK(0, "nobody")));
	apply(&r, START("a", "comparison", 1));
	apply(&r, STOP("a", "comparison", 1, OK(1) LEAK(3, "python3 (3)")));
	apply(&r, END("a", "PASS", "", ""));
	assert_int_equal(r.tests[0].leftovers, 6);
	assert_string_equal(r.tests[0].leaked, "cat, sleep, python3 (3)");
	struct gt_buf text = {0};
	gt_result_write(&r, &text);
	assert_non_null(strstr(gt_buf_text(&text),
	                       "\"leftovers\": 6,\n      \"leaked\": \"cat, sleep, python3 (3)\""));
	gt_buf_free(&text);
	apply(&r, RUN_END(true));
	apply(&r, RESUME("\"a\""));
	assert_int_equal(r.tests[0].leftovers, 0);
	assert_string_equal(r.tests[0].leaked, "");
	gt_result_free(&r);
}

#define NOTE(host, what, why, message)                                                       \
	"{\"event\":\"note\",\"t\":5,\"host\":\"" host "\",\"what\":\"" what "\",\"why\":\"" why \
	"\",\"message\":\"" message "\"}"

// The same host, what and why are one note, with the first sentence.
static void test_notes(void **state)
{
	(void)state;
	struct gt_result r = {0};
	refuse(&r, NOTE("plain", "replaced", "death", "m"), "before the start of the run");
	apply(&r, RUN_START(1));
	apply(&r, NOTE("plain", "replaced", "death", "first"));
	apply(&r, TEST("a", "PASS")); // a note is no stage: tests may follow
	apply(&r, NOTE("plain", "replaced", "death", "second"));
	apply(&r, NOTE("plain", "replaced", "thread", "third"));
	apply(&r, NOTE("compiler", "replaced", "death", "fourth"));
	apply(&r, NOTE("compiler", "fallback", "death", "fifth"));
	refuse(&r, NOTE("plain", "replaced", "two words", "m"), "why is 'two words'");
	refuse(&r, "{\"event\":\"note\",\"t\":5,\"host\":\"plain\"}", "what");
	assert_int_equal(r.note_count, 4);
	assert_string_equal(r.notes[0].message, "first");
	assert_int_equal(r.notes[0].count, 2);
	assert_string_equal(r.notes[3].what, "fallback");
	char *text = written(&r);
	json_t *all = json_loads(text, 0, NULL);
	free(text);
	json_t *note = json_array_get(json_object_get(all, "notes"), 0);
	assert_int_equal(gt_json_integer_or(note, "count", 0), 2);
	assert_string_equal(gt_json_string_or(note, "message", ""), "first");
	json_decref(all);
	gt_result_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),        cmocka_unit_test(test_a_run),
		cmocka_unit_test(test_attempts),        cmocka_unit_test(test_partial),
		cmocka_unit_test(test_order_of_events), cmocka_unit_test(test_bad_members),
		cmocka_unit_test(test_contradictions),  cmocka_unit_test(test_many_tests),
		cmocka_unit_test(test_json),            cmocka_unit_test(test_load),
		cmocka_unit_test(test_resume),          cmocka_unit_test(test_run_again),
		cmocka_unit_test(test_leaks),           cmocka_unit_test(test_flaky),
		cmocka_unit_test(test_notes),
	};
	return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
