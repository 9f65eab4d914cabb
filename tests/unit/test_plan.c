// Which host serves a stage, and from which files of an earlier run.
#include "run/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct gt_options options;
static struct gt_plan plan;
static struct gt_case test;

static int begin(void **state)
{
	(void)state;
	gt_options_init(&options);
	plan = (struct gt_plan){.options = &options};
	for (int s = 0; s < GT_STAGE_COUNT; s++)
		plan.stages[s] = true;
	test = (struct gt_case){.kind = GT_CASE_ONNX};
	return 0;
}

static int end(void **state)
{
	(void)state;
	gt_options_free(&options);
	return 0;
}

static void assert_place(enum gt_stage_id stage, enum gt_host_kind host, bool instance)
{
	struct gt_placement p = gt_plan_place(&plan, &test, stage);
	assert_int_equal(p.host, host);
	assert_int_equal(p.instance, instance);
}

static void test_places(void **state)
{
	(void)state;
	assert_place(GT_SETUP, GT_HOST_PLAIN, false);
	assert_place(GT_IMPORT_MODEL, GT_HOST_FRONTEND, false);
	assert_place(GT_PREPROCESSING, GT_HOST_PLAIN, false); // nothing to do
	assert_place(GT_COMPILATION, GT_HOST_COMPILER, false);
	assert_place(GT_NATIVE_INFERENCE, GT_HOST_REFERENCE, false);
	assert_place(GT_COMPILED_INFERENCE, GT_HOST_RUNTIME, false);
	assert_place(GT_COMPARISON, GT_HOST_PLAIN, false);
	options.torch_to_linalg = true;
	assert_place(GT_PREPROCESSING, GT_HOST_COMPILER, false);
	test.kind = GT_CASE_PYTHON;
	assert_place(GT_SETUP, GT_HOST_FRONTEND, true);
	assert_place(GT_IMPORT_MODEL, GT_HOST_FRONTEND, false);
	assert_place(GT_CONSTRUCT_INPUTS, GT_HOST_FRONTEND, true);
	assert_place(GT_NATIVE_INFERENCE, GT_HOST_FRONTEND, true);
	assert_place(GT_POSTPROCESSING, GT_HOST_FRONTEND, true);
	assert_place(GT_COMPARISON, GT_HOST_PLAIN, false);
	test.kind = GT_CASE_ONNX;
	options.stored_reference = true;
	assert_place(GT_NATIVE_INFERENCE, GT_HOST_PLAIN, false);
}

static void test_next(void **state)
{
	(void)state;
	assert_int_equal(gt_plan_next(&plan, GT_SETUP), GT_SETUP);
	plan.stages[GT_SETUP] = plan.stages[GT_IMPORT_MODEL] = false;
	assert_int_equal(gt_plan_next(&plan, GT_SETUP), GT_PREPROCESSING);
	assert_int_equal(gt_plan_next(&plan, GT_STAGE_COUNT), GT_STAGE_COUNT);
	plan.stages[GT_COMPARISON] = false;
	assert_int_equal(gt_plan_next(&plan, GT_COMPARISON), GT_STAGE_COUNT);
}

static void assert_needs(enum gt_stage_id stage, const char *made_text, const char *known_text,
                         const char *wanted)
{
	struct gt_err err = {0};
	json_t *needs = NULL;
	json_t *made = json_loads(made_text, 0, NULL), *known = json_loads(known_text, 0, NULL);
	gt_code rc = gt_plan_needs(&plan, &test, stage, made, known, &needs, &err);
	if (wanted[0] == '{') {
		json_t *w = json_loads(wanted, 0, NULL);
		if (rc || !json_equal(needs, w))
			fail_msg("%s: %s", err.text, json_dumps(needs, 0));
		json_decref(w);
	} else {
		assert_int_equal(rc, GT_BAD_USAGE);
		if (!strstr(err.text, wanted))
			fail_msg("'%s' does not say '%s'", err.text, wanted);
	}
	json_decref(needs);
	json_decref(made);
	json_decref(known);
}

static void test_needs(void **state)
{
	(void)state;
	assert_needs(GT_SETUP, "{}", "{}", "{}");
	assert_needs(GT_IMPORT_MODEL, "{\"model.onnx\":\"h\"}", "{}", "{}");
	assert_needs(GT_IMPORT_MODEL, "{}", "{\"model.onnx\":\"h\"}", "{\"model.onnx\":\"h\"}");
	// What this run made counts, whatever an earlier one left.
	assert_needs(GT_IMPORT_MODEL, "{\"model.onnx\":\"new\"}", "{\"model.onnx\":\"old\"}", "{}");
	assert_needs(GT_IMPORT_MODEL, "{}", "{}",
	             "import_model reads 'model.onnx', but stage setup was left out");
	assert_needs(GT_COMPILED_INFERENCE, "{\"compiled_model.vmfb\":\"h\",\"import.json\":\"h\"}",
	             "{\"input.json\":\"i\",\"unrelated\":\"x\"}", "{\"input.json\":\"i\"}");
	assert_needs(GT_COMPILED_INFERENCE, "{}", "{\"compiled_model.vmfb\":\"h\"}",
	             "'import.json', but stage import_model");
	assert_needs(GT_COMPARISON, "{\"golden_output.json\":\"h\"}", "{}",
	             "'output.json', but stage compiled_inference");
	assert_needs(GT_PREPROCESSING, "{}", "{}", "{}");
	options.torch_to_linalg = true;
	assert_needs(GT_PREPROCESSING, "{}", "{}", "'model.torch_onnx.mlir', but stage import_model");
	assert_needs(GT_COMPILATION, "{\"model.torch_onnx.mlir\":\"h\"}", "{}",
	             "'model.modified.mlir', but stage preprocessing");
	options.load_inputs = true;
	assert_needs(GT_CONSTRUCT_INPUTS, "{}", "{\"input.json\":\"h\"}", "{\"input.json\":\"h\"}");
	assert_needs(GT_CONSTRUCT_INPUTS, "{}", "{}", "'input.json'");
	test.kind = GT_CASE_PYTHON;
	assert_needs(GT_COMPARISON, "{}", "{\"processed/golden_output.json\":\"g\","
	             "\"processed/output.json\":\"o\"}",
	             "{\"processed/golden_output.json\":\"g\",\"processed/output.json\":\"o\"}");
}

#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAN_TEST(test_places), PLAN_TEST(test_next), PLAN_TEST(test_needs)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
