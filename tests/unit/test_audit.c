// The audit: results with and without the files that back them.
#include "run/audit.h"

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

#define RECORD(ok, match) \
	"{\"format\":1,\"stages\":{\"comparison\":{\"ok\":" ok ",\"detail\":{\"match\":" match "}}}}"

static void test_comparison_backs(void **state)
{
	(void)state;
	put("t", "stages.json", RECORD("true", "true"));
	assert_null(audit("PASS", "", ""));
	expect_finding(audit("Numerics", "value", "comparison"), "says otherwise");
	put("t", "stages.json", RECORD("true", "false"));
	assert_null(audit("Numerics", "value", "comparison"));
	expect_finding(audit("PASS", "", ""), "says otherwise");
}

static void test_no_record(void **state)
{
	(void)state;
	expect_finding(audit("PASS", "", ""), "stages.json");
	put("t", "stages.json", "{\"format\":1,\"stages\":{}}");
	expect_finding(audit("PASS", "", ""), "no comparison");
	put("t", "stages.json", RECORD("false", "true"));
	expect_finding(audit("PASS", "", ""), "no comparison");
	put("t", "stages.json", "{\"format\":1,\"sta");
	expect_finding(audit("PASS", "", ""), "not JSON");
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
