// Which host serves a stage, and from which files of an earlier run.
#include "run/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct gt_options options;
static struct gt_plan plan;
static struct gt_case test;
static char model[] = "/m/model.onnx", label[] = "t", suite[] = "s";
static json_t *records;

static int begin(void **state)
{
	(void)state;
	gt_options_init(&options);
	plan = (struct gt_plan){.options = &options};
	for (int s = 0; s < GT_STAGE_COUNT; s++)
		plan.stages[s] = true;
	test = (struct gt_case){.kind = GT_CASE_ONNX, .id = label, .name = label, .suite = suite,
	                        .folder = label, .model = model};
	return 0;
}

static int end(void **state)
{
	(void)state;
	gt_options_free(&options);
	json_decref(records);
	records = NULL;
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

// Records as a whole run with today's options leaves them: every stage has read what it reads, and
// written what the table says.

static void record(enum gt_stage_id stage, const char *const files[])
{
	json_t *r = json_pack("{s:b,s:[]}", "ok", 1, "files");
	for (size_t i = 0; files[i]; i++)
		json_array_append_new(json_object_get(r, "files"),
		                      json_pack("{s:s,s:s}", "name", files[i], "hash", files[i]));
	gt_json_set(r, "inputs", gt_plan_inputs(&plan, &test, stage, records));
	gt_json_set(r, "basis", gt_plan_basis(&plan, &test, stage, records));
	gt_json_set(records, gt_stage(stage)->name, r);
}

#define RECORD(stage, ...) record(stage, (const char *const[]){__VA_ARGS__, NULL})

static void record_all(void)
{
	json_decref(records);
	records = json_object();
	RECORD(GT_SETUP, "model.onnx", "weights/w.data");
	RECORD(GT_IMPORT_MODEL, "model.torch_onnx.mlir", "import.json");
	RECORD(GT_PREPROCESSING, "model.torch.mlir", "model.modified.mlir");
	RECORD(GT_COMPILATION, "compiled_model.vmfb");
	RECORD(GT_CONSTRUCT_INPUTS, "input.0.bin", "input.json", "data_set_1/input.0.bin",
	       "data_set_1/input.json");
	RECORD(GT_NATIVE_INFERENCE, "golden_output.0.bin", "golden_output.json",
	       "data_set_1/golden_output.0.bin", "data_set_1/golden_output.json");
	RECORD(GT_COMPILED_INFERENCE, "output.0.bin", "output.json", "data_set_1/output.json");
	RECORD(GT_POSTPROCESSING, "processed/golden_output.json", "processed/golden_output.0.bin",
	       "processed/output.json", "processed/output.0.bin");
	RECORD(GT_COMPARISON, "comparison.json");
}

// Which stages this run has, as letters of their order: "01" is setup and import_model.
static void only(const char *stages)
{
	for (int s = 0; s < GT_STAGE_COUNT; s++)
		plan.stages[s] = strchr(stages, '0' + s) != NULL;
}

// `wanted` is the names of the files that are needed, or part of the sentence that refuses.
static void assert_check(enum gt_stage_id stage, const char *wanted)
{
	struct gt_err err = {0};
	json_t *needs = NULL, *hash;
	struct gt_buf names = {0};
	const char *name;
	gt_code rc = gt_plan_check(&plan, &test, stage, records, &needs, &err);
	json_object_foreach(needs, name, hash) {
		gt_buf_printf(&names, "%s%s", names.length ? " " : "", name);
		assert_string_equal(json_string_value(hash), name);
	}
	if (rc && rc != GT_BAD_USAGE)
		fail_msg("code %s", gt_code_name(rc));
	if (rc ? !strstr(err.text, wanted) : strcmp(gt_buf_text(&names), wanted) != 0)
		fail_msg("not '%s' but '%s' '%s'", wanted, gt_buf_text(&names), err.text);
	gt_buf_free(&names);
	json_decref(needs);
}

static void test_needs(void **state)
{
	(void)state;
	static const char inputs[] =
		"input.json input.0.bin data_set_1/input.0.bin data_set_1/input.json";
	char text[300];
	record_all();
	// What this run makes needs no record.
	only("012345678");
	for (enum gt_stage_id id = 0; id < GT_STAGE_COUNT; id++)
		assert_check(id, "");
	only("1");
	assert_check(GT_IMPORT_MODEL, "model.onnx weights/w.data");
	only("6");
	snprintf(text, sizeof text, "compiled_model.vmfb import.json %s", inputs);
	assert_check(GT_COMPILED_INFERENCE, text);
	only("36");
	snprintf(text, sizeof text, "import.json %s", inputs);
	assert_check(GT_COMPILED_INFERENCE, text);
	only("8");
	assert_check(GT_COMPARISON, "golden_output.json golden_output.0.bin "
	             "data_set_1/golden_output.0.bin data_set_1/golden_output.json output.json "
	             "output.0.bin data_set_1/output.json");
	// A stage that does nothing reads nothing.
	only("27");
	assert_check(GT_PREPROCESSING, "");
	assert_check(GT_POSTPROCESSING, "");
	options.torch_to_linalg = true;
	record_all();
	assert_check(GT_PREPROCESSING, "model.torch_onnx.mlir");
	only("3");
	assert_check(GT_COMPILATION, "model.modified.mlir");
	options.load_inputs = true;
	only("012345678");
	assert_check(GT_CONSTRUCT_INPUTS, inputs);
	options.load_inputs = false;
	test.kind = GT_CASE_PYTHON;
	record_all();
	only("8");
	assert_check(GT_COMPARISON, "processed/golden_output.json processed/golden_output.0.bin "
	             "processed/output.json processed/output.0.bin");
}

static void test_nothing_recorded(void **state)
{
	(void)state;
	records = json_object();
	only("1");
	assert_check(GT_IMPORT_MODEL, "import_model reads 'model.onnx', but stage setup was left out");
	only("8");
	RECORD(GT_NATIVE_INFERENCE, "golden_output.json");
	gt_json_set(json_object_get(records, "native_inference"), "inputs", json_array());
	assert_check(GT_COMPARISON, "'output.json', but stage compiled_inference");
	only("012345678");
	assert_check(GT_COMPILATION, "'model.torch_onnx.mlir', which stage import_model did not leave");
	options.load_inputs = true;
	assert_check(GT_CONSTRUCT_INPUTS, "run the test without --load-inputs first: no earlier run in this folder left");
	json_object_clear(records);
	test.kind = GT_CASE_PYTHON;
	only("8");
	assert_check(GT_COMPARISON, "'processed/golden_output.json', but stage postprocessing");
}

static void set(char **text, const char *value)
{
	free(*text);
	*text = gt_strdup(value);
}

// Files that were made with something else than this run says are not used.
static void test_basis(void **state)
{
	(void)state;
	record_all();
	set(&options.device, "vulkan");
	only("8");
	assert_check(GT_COMPARISON, "run stage compiled_inference too: it was done with device "
	             "'local-task' where this run says 'vulkan'");
	only("6"); // the stage itself is done again
	set(&options.backend, "vmvx");
	assert_check(GT_COMPILED_INFERENCE, "run stage compilation too: it was done with backend "
	             "'llvm-cpu' where this run says 'vmvx'");
	only("2");
	assert_check(GT_PREPROCESSING, ""); // it does not depend on that
	record_all();
	gt_names_add(&options.compile_args, "--flag=\xC3\xA4");
	only("6");
	assert_check(GT_COMPILED_INFERENCE, "--flag=\xC3\xA4'");
	record_all();
	options.seed = 7;
	assert_check(GT_COMPILED_INFERENCE, "with seed 0 where this run says 7");
	options.load_inputs = true; // whatever they were made from
	assert_check(GT_COMPILED_INFERENCE, "compiled_model.vmfb import.json input.json input.0.bin "
	             "data_set_1/input.0.bin data_set_1/input.json");
	options.load_inputs = false;
	record_all();
	gt_json_set(options.dims, "N", json_integer(3));
	assert_check(GT_COMPILED_INFERENCE, "with dims {} where this run says {\"N\":3}");
	record_all();
	test.opset = 22;
	assert_check(GT_COMPILED_INFERENCE, "run stage import_model too: it was done with opset");
	record_all();
	options.torch_to_linalg = true;
	assert_check(GT_COMPILED_INFERENCE, "torch_to_linalg false where this run says true");
	record_all();
	options.stored_reference = true;
	only("8");
	assert_check(GT_COMPARISON, "reference 'ort' where this run says 'stored'");
}

static void test_another_test(void **state)
{
	(void)state;
	record_all();
	char other[] = "/other/model.onnx";
	test.model = other;
	only("2");
	assert_check(GT_PREPROCESSING, "run stage setup too: its files come from another test, whose model "
	             "is '/m/model.onnx' where this one's is '/other/model.onnx'");
	// Setup is done, but the inputs are those of another test.
	only("012345678");
	options.load_inputs = true;
	assert_check(GT_CONSTRUCT_INPUTS, "run stage construct_inputs too: its files come from another test");
}

static void test_records_without_basis(void **state)
{
	(void)state;
	record_all();
	json_object_del(json_object_get(records, "compilation"), "basis");
	only("8");
	assert_check(GT_COMPARISON, "run stage compilation too: its record does not say");
	// What failed has left nothing to use.
	gt_json_set(json_object_get(records, "preprocessing"), "ok", json_false());
	json_object_del(json_object_get(records, "preprocessing"), "basis");
	only("38");
	assert_check(GT_COMPILATION, "model.torch_onnx.mlir");
}

static void test_fed_with_other_files(void **state)
{
	(void)state;
	record_all();
	json_t *files = json_object_get(json_object_get(records, "compilation"), "files");
	gt_json_set(json_array_get(files, 0), "hash", json_string("of another flag"));
	only("8");
	assert_check(GT_COMPARISON, "run stage compiled_inference too: it read another "
	             "'compiled_model.vmfb' than the one that is there now");
	json_array_clear(files);
	assert_check(GT_COMPARISON, "'compiled_model.vmfb', which it read, has not been made again");
	// Also when it is this run that has made the new file.
	only("38");
	RECORD(GT_COMPILATION, "compiled_model.vmfb");
	files = json_object_get(json_object_get(records, "compilation"), "files");
	gt_json_set(json_array_get(files, 0), "hash", json_string("new"));
	assert_check(GT_COMPARISON, "another 'compiled_model.vmfb'");
	only("368");
	assert_check(GT_COMPARISON, "golden_output.json golden_output.0.bin "
	             "data_set_1/golden_output.0.bin data_set_1/golden_output.json");
	// Files of the suite are none of the folder's.
	record_all();
	json_t *native = json_object_get(records, "native_inference");
	json_array_append_new(json_object_get(native, "inputs"),
	                      json_pack("{s:s,s:s}", "name", "/suite/output_0.pb", "hash", "x"));
	only("68");
	assert_check(GT_COMPILED_INFERENCE, "compiled_model.vmfb import.json input.json input.0.bin "
	             "data_set_1/input.0.bin data_set_1/input.json");
}

static void test_random_numbers_of_hooks(void **state)
{
	(void)state;
	test.kind = GT_CASE_PYTHON;
	record_all();
	options.seed = 1;
	only("1");
	assert_check(GT_IMPORT_MODEL, "run stage setup too: it was done with seed 0");
}

#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAN_TEST(test_places),
		PLAN_TEST(test_next),
		PLAN_TEST(test_needs),
		PLAN_TEST(test_nothing_recorded),
		PLAN_TEST(test_basis),
		PLAN_TEST(test_another_test),
		PLAN_TEST(test_records_without_basis),
		PLAN_TEST(test_fed_with_other_files),
		PLAN_TEST(test_random_numbers_of_hooks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
