// The table of stages against the specification, and against itself.
#include "core/stages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
	(void)state;
	static const char *const names[] = {
		"setup", "import_model", "preprocessing", "compilation", "construct_inputs",
		"native_inference", "compiled_inference", "postprocessing", "comparison"};
	assert_int_equal(GT_STAGE_COUNT, GT_COUNTOF(names));
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++) {
		assert_string_equal(gt_stage(s)->name, names[s]);
		assert_int_equal(gt_stage_parse(names[s]), s);
		assert_string_equal(gt_stage(s)->failed,
		                    s == GT_COMPARISON ? "results-summary" : names[s]);
		assert_true(gt_stage(s)->timeout_s > 0);
		assert_true(gt_stage(s)->host < GT_HOST_COUNT);
	}
	assert_int_equal(gt_stage_parse("Setup"), GT_STAGE_COUNT);
	assert_int_equal(gt_stage_parse(""), GT_STAGE_COUNT);
}

static void test_hosts(void **state)
{
	(void)state;
	for (enum gt_host_kind k = 0; k < GT_HOST_COUNT; k++)
		assert_int_equal(gt_host_parse(gt_host_name(k)), k);
	assert_int_equal(gt_host_parse("nobody"), GT_HOST_COUNT);
	// The comparison sees no engine.
	assert_int_equal(gt_stage(GT_COMPARISON)->host, GT_HOST_PLAIN);
	assert_false(gt_stage(GT_COMPARISON)->hook || gt_stage(GT_COMPILATION)->hook);
}

// What a stage reads is written by one before it.
static void test_files(void **state)
{
	(void)state;
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++) {
		char *reads = gt_strdup(gt_stage(s)->reads), *rest = reads;
		for (char *file; (file = strtok_r(rest, " ", &rest));) {
			int writers = 0;
			for (enum gt_stage_id w = 0; w < s; w++) {
				char *writes = gt_strdup(gt_stage(w)->writes), *more = writes;
				for (char *name; (name = strtok_r(more, " ", &more));)
					writers += strcmp(name, file) == 0;
				free(writes);
			}
			if (writers != 1)
				fail_msg("%s is written by %d stages before %s", file, writers, gt_stage(s)->name);
		}
		free(reads);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_hosts), cmocka_unit_test(test_files)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
