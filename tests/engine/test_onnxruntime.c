#include "support.h"

#include "engine/library.h"
#include "tensor/compare.h"
#include "tensor/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gt_toolchain tools;
static json_t *identity;

static char *node_path(const char *test, const char *file)
{
	return gt_format("%s/backend/test/data/node/%s/%s", tools.onnx_folder, test, file);
}

static gt_code read_set(const char *test, const char *stem, struct gt_values *out,
                        struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (int i = 0; !rc; i++) {
		char *file = gt_format("test_data_set_0/%s_%d.pb", stem, i);
		char *path = node_path(test, file);
		bool there = gt_is_file(path);
		struct gt_value value = {0};
		if (there)
			rc = gt_onnx_read_value(path, GT_KIND_TENSOR, &value, err);
		if (there && !rc) {
			struct gt_value *added = gt_values_add(out, "");
			free(added->name);
			*added = value;
		}
		free(file);
		free(path);
		if (!there)
			break;
	}
	return rc;
}

static gt_code open_node(const char *test, struct gt_err *err)
{
	char *model = node_path(test, "model.onnx");
	gt_code rc = gt_onnxruntime.runner->open(model, "", "", err);
	free(model);
	return rc;
}

// Same number, names, types, shapes and bytes as what the onnx package stores.
static gt_code check_outputs(const struct gt_values *out, const struct gt_values *gold,
                             struct gt_err *err)
{
	const struct gt_tolerance exact = {.nan_equal = true};
	if (out->count != gold->count)
		return gt_fail(err, GT_INTERNAL, "%zu outputs instead of %zu", out->count, gold->count);
	for (size_t i = 0; i < out->count; i++) {
		const struct gt_tensor *a = &out->items[i].tensor, *b = &gold->items[i].tensor;
		struct gt_comparison result;
		gt_compare(a, b, &exact, &result);
		if (result.difference != GT_DIFF_NONE)
			return gt_fail(err, GT_INTERNAL, "output %zu differs by %s", i,
			               gt_difference_name(result.difference));
		if (a->bytes != b->bytes || (a->bytes && memcmp(a->data, b->data, a->bytes) != 0))
			return gt_fail(err, GT_INTERNAL, "output %zu has other bytes", i);
		if (strcmp(out->items[i].name, gold->items[i].name) != 0)
			return gt_fail(err, GT_INTERNAL, "output %zu is called '%s' instead of '%s'", i,
			               out->items[i].name, gold->items[i].name);
	}
	return GT_OK;
}

static gt_code run_node(void *argument, struct gt_err *err)
{
	struct gt_values in = {0}, out = {0}, again = {0}, gold = {0};
	gt_code rc = open_node(argument, err);
	if (!rc)
		rc = read_set(argument, "input", &in, err);
	if (!rc)
		rc = read_set(argument, "output", &gold, err);
	if (!rc)
		rc = gt_onnxruntime.runner->call(&in, &out, err);
	if (!rc)
		rc = check_outputs(&out, &gold, err);
	// A job may call more than once: data sets, benchmarks.
	if (!rc)
		rc = gt_onnxruntime.runner->call(&in, &again, err);
	if (!rc)
		rc = check_outputs(&again, &gold, err);
	if (!rc && gt_thread_count() != 1)
		rc = gt_fail(err, GT_INTERNAL, "the job has %zu threads", gt_thread_count());
	gt_values_free(&in);
	gt_values_free(&out);
	gt_values_free(&again);
	gt_values_free(&gold);
	return rc;
}

// What goes into test_abs instead of a 3x4x5 float.
struct wrong {
	const char *test;
	size_t count;
	enum gt_kind kind;
	enum gt_dtype type;
	uint32_t rank;
	int64_t dims[4];
};

static gt_code call_wrong(void *argument, struct gt_err *err)
{
	const struct wrong *wrong = argument;
	struct gt_values in = {0}, out = {0};
	for (size_t i = 0; i < wrong->count; i++) {
		add_value(&in, "x", wrong->type, wrong->rank, wrong->dims, NULL);
		in.items[i].kind = wrong->kind;
	}
	gt_code rc = open_node(wrong->test, err);
	if (!rc)
		rc = gt_onnxruntime.runner->call(&in, &out, err);
	gt_values_free(&in);
	gt_values_free(&out);
	return rc;
}

static gt_code open_path(void *argument, struct gt_err *err)
{
	return gt_onnxruntime.runner->open(argument, "", "", err);
}

static gt_code call_first(void *argument, struct gt_err *err)
{
	(void)argument;
	struct gt_values none = {0};
	return gt_onnxruntime.runner->call(&none, &none, err);
}

static gt_code load_other(void *argument, struct gt_err *err)
{
	struct gt_toolchain other = {.onnxruntime_library = argument};
	json_t *other_identity = NULL;
	return gt_onnxruntime.load(&other, &other_identity, err);
}

static int load(void **state)
{
	(void)state;
	struct gt_err err = {0};
	gt_toolchain_find(&tools);
	if (gt_onnxruntime.load(&tools, &identity, &err) != GT_OK) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	json_decref(identity);
	gt_toolchain_free(&tools);
	remove_scratch();
	return 0;
}

static void test_load(void **state)
{
	(void)state;
	assert_int_equal(gt_thread_count(), 1);
	assert_string_equal(gt_json_string_or(identity, "name", ""), "onnxruntime");
	assert_string_equal(gt_json_string_or(identity, "version", ""), tools.onnxruntime_version);
	assert_string_equal(gt_json_string_or(identity, "path", ""), tools.onnxruntime_library);
	assert_true(strlen(gt_json_string_or(identity, "build", "")) >= 16);
	assert_string_equal(getenv("ORT_DISABLE_TELEMETRY"), "1");
}

static void test_load_of_other_libraries(void **state)
{
	(void)state;
	must_fail(load_other, NULL, GT_NOT_FOUND, "GAUNTLET_ONNXRUNTIME");
	must_fail(load_other, "/nonexistent/lib.so", GT_ENGINE, "/nonexistent/lib.so");
	must_fail(load_other, "libm.so.6", GT_ENGINE, "'libm.so.6' has no function OrtGetApiBase");
}

static void test_node_tests(void **state)
{
	(void)state;
	// One of each width and kind, several outputs, no input, a scalar, an empty tensor, a subgraph.
	static const char *const names[] = {
		"test_abs", "test_add_uint8", "test_add_int8", "test_cast_FLOAT_to_BFLOAT16",
		"test_cast_FLOAT_to_DOUBLE", "test_cast_DOUBLE_to_FLOAT16", "test_not_2d",
		"test_split_equal_parts_1d_opset13", "test_constant", "test_range_int32_type_negative_delta",
		"test_split_zero_size_splits_opset13", "test_loop11", "test_cast_FLOAT_to_UINT4",
		"test_cast_FLOAT_to_INT2", "test_cast_FLOAT_to_UINT2", "test_cast_INT2_to_FLOAT",
		"test_cast_UINT4_to_FLOAT", "test_cast_FLOAT_to_FLOAT8E4M3FNUZ", "test_top_k",
	};
	for (size_t i = 0; i < GT_COUNTOF(names); i++) {
		print_message("             %s\n", names[i]);
		must_pass(run_node, (void *)names[i]);
	}
	assert_int_equal(gt_thread_count(), 1);
}

static void test_wrong_inputs(void **state)
{
	(void)state;
	struct wrong wrong = {"test_abs", 1, GT_KIND_TENSOR, GT_FLOAT32, 3, {3, 4, 5}};
	must_pass(call_wrong, &wrong);
	wrong.count = 0;
	must_fail(call_wrong, &wrong, GT_MISMATCH, "takes 1 input but got 0");
	wrong.count = 2;
	must_fail(call_wrong, &wrong, GT_MISMATCH, "takes 1 input but got 2");
	wrong.count = 1;
	wrong.type = GT_FLOAT64;
	must_fail(call_wrong, &wrong, GT_MISMATCH, "input 0 'x' is double but the model takes float");
	wrong.type = GT_FLOAT32;
	wrong.dims[2] = 6;
	must_fail(call_wrong, &wrong, GT_MISMATCH, "index: 2 Got: 6 Expected: 5");
	wrong.rank = 2;
	must_fail(call_wrong, &wrong, GT_MISMATCH, "Got: 2 Expected: 3");
	wrong.rank = 0;
	must_fail(call_wrong, &wrong, GT_MISMATCH, "Expected: 3");
	wrong.kind = GT_KIND_SEQUENCE;
	must_fail(call_wrong, &wrong, GT_UNSUPPORTED, "input 0 'x' is of kind sequence");
}

static void test_kinds_that_are_not_carried(void **state)
{
	(void)state;
	struct wrong wrong = {"test_identity_sequence", 1, GT_KIND_TENSOR, GT_FLOAT32, 1, {1}};
	must_fail(call_wrong, &wrong, GT_UNSUPPORTED, "is a sequence");
	wrong.test = "test_identity_opt";
	must_fail(call_wrong, &wrong, GT_UNSUPPORTED, "is an optional");
	wrong.test = "test_string_concat";
	wrong.count = 2;
	must_fail(call_wrong, &wrong, GT_MISMATCH, "the model takes string");
}

static gt_code call_stored(void *argument, struct gt_err *err)
{
	struct gt_values in = {0}, out = {0};
	gt_code rc = read_set(argument, "input", &in, err);
	if (!rc)
		rc = open_node(argument, err);
	if (!rc)
		rc = gt_onnxruntime.runner->call(&in, &out, err);
	gt_values_free(&in);
	gt_values_free(&out);
	return rc;
}

static gt_code call_model_of_strings(void *argument, struct gt_err *err)
{
	struct gt_values in = {0}, out = {0};
	const int64_t dims[] = {2};
	add_value(&in, "x", GT_FLOAT32, 1, dims, NULL);
	gt_code rc = gt_onnxruntime.runner->open(argument, "", "", err);
	if (!rc)
		rc = gt_onnxruntime.runner->call(&in, &out, err);
	gt_values_free(&in);
	gt_values_free(&out);
	return rc;
}

static void test_outputs_that_are_not_carried(void **state)
{
	(void)state;
	must_fail(call_stored, "test_split_to_sequence_1", GT_UNSUPPORTED,
	          "output 0 'seq': it is a sequence");
	// A model of one node, Cast from float to string.
	static const unsigned char model[] = {
		0x08, 0x08, 0x3a, 0x3e, 0x0a, 0x17, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x04, 0x43, 0x61,
		0x73, 0x74, 0x2a, 0x09, 0x0a, 0x02, 0x74, 0x6f, 0x18, 0x08, 0xa0, 0x01, 0x02, 0x12, 0x01, 0x67,
		0x5a, 0x0f, 0x0a, 0x01, 0x78, 0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08,
		0x02, 0x62, 0x0f, 0x0a, 0x01, 0x79, 0x12, 0x0a, 0x0a, 0x08, 0x08, 0x08, 0x12, 0x04, 0x0a, 0x02,
		0x08, 0x02, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x0d,
	};
	char *path = scratch("strings.onnx");
	assert_int_equal(gt_file_write(path, model, sizeof model, NULL), GT_OK);
	must_fail(call_model_of_strings, path, GT_UNSUPPORTED, "output 0 'y': it is a tensor of strings");
	free(path);
}

static void test_bad_models(void **state)
{
	(void)state;
	must_fail(open_path, "/nonexistent/model.onnx", GT_NOT_FOUND, "/nonexistent/model.onnx");
	must_fail(open_path, "/tmp", GT_NOT_FOUND, "/tmp");
	must_fail(call_first, NULL, GT_INTERNAL, "no model is open");
	char *path = scratch("bad.onnx");
	write_text(path, "\xff\xff\xff this is no protobuf");
	must_fail(open_path, path, GT_ENGINE, "bad.onnx");
	free(path);
}

// Whatever fails in the library: one line, and no place in its sources.
static void test_sentences(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"test_cast_FLOAT_to_FLOAT4E2M1", "Could not find an implementation for Cast"},
		{"test_adagrad", "Adagrad(-1) is not a registered function/op"},
		{"test_convinteger_with_padding", "ConvInteger node. Name:'' Status Message: IsScalarOr1"},
	};
	for (size_t i = 0; i < GT_COUNTOF(rows); i++) {
		struct outcome outcome;
		in_job(run_node, (void *)rows[i][0], &outcome);
		assert_true(outcome.framed);
		assert_int_equal(outcome.err.code, GT_ENGINE);
		if (!strstr(outcome.err.text, rows[i][1]) || strchr(outcome.err.text, '\n') ||
		    strstr(outcome.err.text, ".cc:") || strstr(outcome.err.text, ".h:"))
			fail_msg("%s: %s", rows[i][0], outcome.err.text);
		free_outcome(&outcome);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_load_of_other_libraries),
		cmocka_unit_test(test_node_tests),
		cmocka_unit_test(test_wrong_inputs),
		cmocka_unit_test(test_kinds_that_are_not_carried),
		cmocka_unit_test(test_outputs_that_are_not_carried),
		cmocka_unit_test(test_bad_models),
		cmocka_unit_test(test_sentences),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
