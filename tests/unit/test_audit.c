// The audit: results with and without the files that back them.
#include "run/audit.h"
#include "run/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char *folder;

static int make_folder(void **state)
{
	(void)state;
	char name[] = "/tmp/gauntlet-test-audit-XXXXXX";
	folder = gt_strdup(mkdtemp(name));
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)!gt_remove_tree(folder, NULL);
	free(folder);
	return 0;
}

static void put(const char *test, const char *file, const char *text)
{
	char *path = gt_format("%s/%s", folder, test);
	assert_int_equal(gt_make_folders(path, NULL), GT_OK);
	char *whole = gt_path_join(path, file);
	assert_int_equal(gt_file_write(whole, text, strlen(text), NULL), GT_OK);
	free(whole);
	free(path);
}

// The finding about one test; NULL if it is backed.
static char *audit(const char *status, const char *why, const char *stage)
{
	struct gt_test_result test = {.id = (char *)"t", .folder = (char *)"t", .status = (char *)status,
	                              .why = (char *)why, .stage = (char *)stage};
	struct gt_result result = {.tests = &test, .test_count = 1};
	struct gt_names findings = {0};
	gt_audit(&result, folder, &findings);
	assert_true(findings.count <= 1);
	char *finding = findings.count ? gt_strdup(findings.items[0]) : NULL;
	gt_names_free(&findings);
	return finding;
}

static void expect_finding(char *finding, const char *says)
{
	assert_non_null(finding);
	if (!strstr(finding, says))
		fail_msg("'%s' is not in: %s", says, finding);
	free(finding);
}

// stages.json of test "t", with one record of the comparison.
static void put_record(const char *test, bool ok, json_t *match)
{
	char *path = gt_path_join(folder, "t");
	json_t *records = gt_record_new();
	gt_json_set(records, "test", json_string(test));
	gt_json_set(json_object_get(records, "stages"), "comparison",
	            json_pack("{s:b,s:[],s:[],s:{s:o}}", "ok", ok, "files", "inputs", "detail", "match",
	                      match));
	assert_int_equal(gt_make_folders(path, NULL), GT_OK);
	assert_int_equal(gt_record_write(path, records, NULL), GT_OK);
	json_decref(records);
	free(path);
}

static void test_comparison_backs(void **state)
{
	(void)state;
	put_record("t", true, json_true());
	assert_null(audit("PASS", "", ""));
	expect_finding(audit("Numerics", "value", "comparison"), "says otherwise");
	put_record("t", true, json_false());
	assert_null(audit("Numerics", "value", "comparison"));
	expect_finding(audit("PASS", "", ""), "says otherwise");
}

static void test_no_record(void **state)
{
	(void)state;
	expect_finding(audit("PASS", "", ""), "stages.json");
	put_record("t", true, json_integer(1));
	expect_finding(audit("PASS", "", ""), "no comparison");
	put_record("t", false, json_true());
	expect_finding(audit("PASS", "", ""), "no comparison");
	put("t", "stages.json", "{\n  \"format\": 2,\n  \"sta");
	expect_finding(audit("PASS", "", ""), "is damaged");
	put_record("u", true, json_true());
	expect_finding(audit("PASS", "", ""), "that of another test");
	// A run without a comparison compares nothing, and says so.
	assert_null(audit("PASS", "partial", ""));
}

static void test_failures_have_logs(void **state)
{
	(void)state;
	expect_finding(audit("compilation", "error", "compilation"), "log");
	put("t", "compilation.log", "why\n");
	assert_null(audit("compilation", "error", "compilation"));
	expect_finding(audit("results-summary", "error", "comparison"), "log");
}

static void test_no_result(void **state)
{
	(void)state;
	expect_finding(audit("", "", ""), "must have a result");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comparison_backs, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_no_record, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_failures_have_logs, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_no_result, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
