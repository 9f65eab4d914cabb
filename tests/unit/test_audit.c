// The audit: results with and without the files that back them.
#include "base/clock.h"
#include "run/audit.h"
#include "run/record.h"
#include "run/resume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define HASH "0123456789abcdef0123456789abcdef"

static char *folder;
static struct gt_test_result test; // as the journal tells it
static json_t *records;            // of its stages.json

static void put(const char *file, const char *text)
{
	char *path = gt_format("%s/t/%s", folder, file);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(gt_make_folders(path, NULL), GT_OK);
	*slash = '/';
	assert_int_equal(gt_file_write(path, text, strlen(text), NULL), GT_OK);
	free(path);
}

static void drop(const char *file)
{
	char *path = gt_format("%s/t/%s", folder, file);
	assert_int_equal(gt_remove_tree(path, NULL), GT_OK);
	free(path);
}

static void seal(void)
{
	char *path = gt_path_join(folder, "t");
	assert_int_equal(gt_record_write(path, records, NULL), GT_OK);
	free(path);
}

static json_t *record_of(enum gt_stage_id stage)
{
	return json_object_get(json_object_get(records, "stages"), gt_stage(stage)->name);
}

// A stage ended so, says the journal and stages.json.
static void end_stage(enum gt_stage_id stage, const char *why)
{
	test.stages[stage] = (struct gt_stage_result){.ran = true, .ok = !*why, .seconds = 1};
	gt_json_set(json_object_get(records, "stages"), gt_stage(stage)->name,
	            json_pack("{s:b,s:s,s:[],s:[],s:{}}", "ok", !*why, "why", why, "files", "inputs",
	                      "detail"));
}

// It left this file, says stages.json.
static void leave(enum gt_stage_id stage, const char *name, int bytes)
{
	json_array_append_new(json_object_get(record_of(stage), "files"),
	                      json_pack("{s:s,s:i,s:s}", "name", name, "bytes", bytes, "hash", HASH));
}

static void end_test(const char *status, const char *why, const char *stage)
{
	test.status = (char *)status;
	test.why = (char *)why;
	test.stage = (char *)stage;
}

static void say_match(json_t *in_record, const char *in_file)
{
	gt_json_set(json_object_get(record_of(GT_COMPARISON), "detail"), "match", in_record);
	char *text = gt_format("{\"match\": %s}", in_file);
	put("comparison.json", text);
	free(text);
}

// All stages went well, and every file is there.
static int pass(void **state)
{
	(void)state;
	char name[] = "/tmp/gauntlet-test-audit-XXXXXX";
	folder = gt_strdup(mkdtemp(name));
	test = (struct gt_test_result){.id = (char *)"t", .folder = (char *)"t", .message = (char *)""};
	records = gt_record_new();
	gt_json_set(records, "test", json_string("t"));
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
		end_stage(s, "");
	put("model.onnx", "12345");
	put("output.json", "123");
	put("data_set_1/output.json", "1234");
	leave(GT_SETUP, "model.onnx", 5);
	leave(GT_COMPILED_INFERENCE, "output.json", 3);
	leave(GT_COMPILED_INFERENCE, "data_set_1/output.json", 4);
	say_match(json_true(), "true");
	seal();
	end_test("PASS", "", "");
	return 0;
}

// It stopped in compilation instead.
static int fail_in_compilation(void **state)
{
	pass(state);
	for (enum gt_stage_id s = GT_COMPILATION; s < GT_STAGE_COUNT; s++) {
		json_object_del(json_object_get(records, "stages"), gt_stage(s)->name);
		test.stages[s].ran = false;
	}
	end_stage(GT_COMPILATION, "error");
	seal();
	put("compilation.log", "why\n");
	end_test("compilation", "error", "compilation");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)!gt_remove_tree(folder, NULL);
	free(folder);
	json_decref(records);
	return 0;
}

// The finding about the test; NULL if it is backed.
static char *audit(void)
{
	struct gt_result result = {.tests = &test, .test_count = 1};
	struct gt_names findings = {0};
	gt_audit(&result, folder, &findings);
	assert_true(findings.count <= 1);
	assert_int_equal(test.unbacked, findings.count);
	char *finding = findings.count ? gt_strdup(findings.items[0]) : NULL;
	gt_names_free(&findings);
	return finding;
}

static void expect_backed(void)
{
	char *finding = audit();
	if (finding)
		fail_msg("%s", finding);
}

static void expect_finding(const char *says)
{
	char *finding = audit();
	assert_non_null(finding);
	if (!strstr(finding, says) || strncmp(finding, "'t' ended as ", 13) != 0)
		fail_msg("'%s' is not in: %s", says, finding);
	free(finding);
}

static void test_comparison(void **state)
{
	(void)state;
	expect_backed();
	end_test("Numerics", "value", "comparison");
	expect_finding("the comparison in");
	say_match(json_false(), "false");
	seal();
	expect_backed();
	end_test("PASS", "", "");
	expect_finding("/t/stages.json' says otherwise");
	say_match(json_true(), "false");
	seal();
	expect_finding("/t/comparison.json' says otherwise");
	put("comparison.json", "{\"match\": true");
	expect_finding("comparison.json' is not JSON");
	put("comparison.json", "{}");
	expect_finding("comparison.json' says otherwise");
	drop("comparison.json");
	expect_finding("comparison.json'");
	say_match(json_integer(1), "1");
	seal();
	expect_finding("records no comparison");
	end_stage(GT_COMPARISON, "error");
	test.stages[GT_COMPARISON].ok = true;
	seal();
	expect_finding("comparison failed with error");
}

static void test_records(void **state)
{
	(void)state;
	gt_json_set(records, "test", json_string("u"));
	seal();
	expect_finding("that of another test");
	put("stages.json", "{\n  \"format\": 2,\n  \"sta");
	expect_finding("/t/stages.json' is damaged");
	end_test("PASS", "partial", "");
	expect_finding("/t/stages.json' is damaged");
	drop("stages.json");
	expect_finding("there is no '");
}

// A run without a comparison compares nothing, and says so; the rest is looked at all the same.
static void test_partial(void **state)
{
	(void)state;
	test.stages[GT_COMPARISON].ran = false;
	drop("comparison.json");
	end_test("PASS", "partial", "");
	expect_backed();
	json_object_del(json_object_get(records, "stages"), "preprocessing");
	seal();
	expect_finding("/t/stages.json' has no record of preprocessing");
	end_stage(GT_PREPROCESSING, "timeout");
	test.stages[GT_PREPROCESSING].ok = true;
	seal();
	expect_finding("/t/stages.json' records that preprocessing failed with timeout");
}

static void test_files(void **state)
{
	(void)state;
	put("data_set_1/output.json", "12345");
	expect_finding("/t/data_set_1/output.json' that compiled_inference left has 5 bytes where 4 are");
	put("data_set_1/output.json", "1234");
	expect_backed();
	drop("model.onnx");
	expect_finding("/t/model.onnx' that setup left is not there");
	put("model.onnx/x", "12345");
	expect_finding("/t/model.onnx' that setup left is not there");
	// What a later stage wrote anew has the later size; where none is recorded, it has to be there.
	drop("model.onnx");
	put("model.onnx", "123456");
	leave(GT_PREPROCESSING, "model.onnx", 6);
	seal();
	expect_backed();
	leave(GT_COMPILATION, "model.onnx", -1);
	seal();
	expect_backed();
	// Files of a stage that was left out are those of an earlier run.
	leave(GT_POSTPROCESSING, "gone", 6);
	seal();
	expect_finding("/t/gone' that postprocessing left is not there");
	test.stages[GT_POSTPROCESSING].ran = false;
	expect_backed();
}

static void test_without_artifacts(void **state)
{
	(void)state;
	drop("model.onnx");
	drop("data_set_1");
	expect_finding("is not there");
	gt_json_set(records, "artifacts", json_false());
	seal();
	expect_backed();
	drop("output.json");
	expect_finding("/t/output.json' that compiled_inference left is not there");
}

static void test_failures(void **state)
{
	(void)state;
	expect_backed();
	put("compilation.log", "");
	expect_finding("/t/compilation.log' is empty");
	drop("compilation.log");
	expect_finding("/t/compilation.log' is not there");
	put("compilation.log", "why\n");
	test.why = (char *)"crash:SIGABRT";
	expect_finding("compilation failed with error, not with crash:SIGABRT");
	test.why = (char *)"error";
	end_stage(GT_COMPILATION, "");
	test.stages[GT_COMPILATION].ok = false;
	seal();
	expect_finding("/t/stages.json' records that compilation went well");
	end_stage(GT_COMPILATION, "error");
	seal();
	drop("model.onnx");
	expect_finding("/t/model.onnx' that setup left is not there");
	end_test("results-summary", "error", "comparison");
	expect_finding("the journal has no end of that stage");
}

// What a stage left before it was refused is as good as it was, whatever that is.
static void test_refused(void **state)
{
	(void)state;
	test.stages[GT_COMPILATION].seconds = 0;
	expect_backed();
	end_stage(GT_COMPILATION, "");
	test.stages[GT_COMPILATION] = (struct gt_stage_result){.ran = true};
	leave(GT_COMPILATION, "compiled_model.vmfb", 7);
	seal();
	expect_backed();
	json_object_del(json_object_get(records, "stages"), "compilation");
	seal();
	expect_finding("no record of compilation");
	end_stage(GT_COMPILATION, "");
	seal();
	test.stages[GT_COMPILATION] = (struct gt_stage_result){.ran = true};
	drop("compilation.log");
	expect_finding("log");
}

// A record that could not be read backs a test that ended with just that.
static void test_unreadable(void **state)
{
	(void)state;
	char *path = gt_path_join(folder, "t");
	json_t *none;
	struct gt_err err = {0};
	put("stages.json", "{broken");
	expect_finding("/t/stages.json' is damaged");
	assert_int_equal(gt_record_read(path, &none, &err), GT_BAD_DATA);
	test.message = err.text;
	expect_backed();
	drop("compilation.log");
	expect_finding("log");
	put("compilation.log", "why\n");
	json_t *stages = json_incref(json_object_get(records, "stages"));
	gt_json_set(records, "stages", json_array());
	seal();
	expect_finding("stages.json' has no object");
	gt_json_set(records, "stages", stages);
	free(path);
}

static void test_no_result(void **state)
{
	(void)state;
	struct gt_result result = {.tests = &test, .test_count = 1};
	struct gt_names findings = {0};
	drop("stages.json");
	gt_audit_ended(&result, folder, &findings);
	assert_int_equal(findings.count, 1);
	assert_true(test.unbacked && gt_resume_is_due(&test, false));
	end_test("", "", "");
	expect_finding("must have a result");
	// A run that goes on does these anyway.
	gt_audit_ended(&result, folder, &findings);
	assert_int_equal(findings.count, 1);
	gt_names_free(&findings);
}

// As many tests as onnx-node has, with all their files, cost less than a second.
static void test_cost(void **state)
{
	(void)state;
	enum { COUNT = 1765 };
	struct gt_test_result *tests = gt_zalloc(COUNT, sizeof *tests);
	struct gt_result result = {.tests = tests, .test_count = COUNT};
	struct gt_names findings = {0};
	for (size_t i = 0; i < COUNT; i++)
		tests[i] = test;
	int64_t ns = INT64_MAX;
	for (int i = 0; i < 10 && ns >= 1000000000; i++) { // the machine may have stood still
		int64_t begin = gt_clock_ns();
		gt_audit(&result, folder, &findings);
		ns = gt_clock_ns() - begin;
	}
	print_message("%d tests in %lld ms\n", (int)COUNT, (long long)(ns / 1000000));
	assert_int_equal(findings.count, 0);
	assert_true(ns < 1000000000);
	gt_names_free(&findings);
	free(tests);
}

#define CASE(name, setup) cmocka_unit_test_setup_teardown(name, setup, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_comparison, pass),
		CASE(test_records, pass),
		CASE(test_partial, pass),
		CASE(test_files, pass),
		CASE(test_without_artifacts, pass),
		CASE(test_failures, fail_in_compilation),
		CASE(test_refused, fail_in_compilation),
		CASE(test_unreadable, fail_in_compilation),
		CASE(test_no_result, pass),
		CASE(test_cost, pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
