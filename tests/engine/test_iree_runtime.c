#include "support.h"

#include "engine/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One process loads both libraries here, because the modules must come from somewhere.
static struct gt_toolchain tools;
static json_t *identity;
static char *module;      // many functions, with declared types
static char *torch_module; // one function by way of torch dialects, without declared types

static const char functions[] =
	"func.func @neg_i8(%x: tensor<4xi8>) -> tensor<4xi8> {\n"
	"  %zero = arith.constant dense<0> : tensor<4xi8>\n"
	"  %0 = arith.subi %zero, %x : tensor<4xi8>\n"
	"  return %0 : tensor<4xi8>\n}\n"
	"func.func @twice_f16(%x: tensor<2x2xf16>) -> tensor<2x2xf16> {\n"
	"  %0 = arith.addf %x, %x : tensor<2x2xf16>\n"
	"  return %0 : tensor<2x2xf16>\n}\n"
	"func.func @twice_bf16(%x: tensor<3xbf16>) -> tensor<3xbf16> {\n"
	"  %0 = arith.addf %x, %x : tensor<3xbf16>\n"
	"  return %0 : tensor<3xbf16>\n}\n"
	"func.func @twice_f64(%x: tensor<2xf64>) -> tensor<2xf64> {\n"
	"  %0 = arith.addf %x, %x : tensor<2xf64>\n"
	"  return %0 : tensor<2xf64>\n}\n"
	"func.func @not(%x: tensor<3xi1>) -> tensor<3xi1> {\n"
	"  %true = arith.constant dense<true> : tensor<3xi1>\n"
	"  %0 = arith.xori %x, %true : tensor<3xi1>\n"
	"  return %0 : tensor<3xi1>\n}\n"
	"func.func @scalar(%x: tensor<f32>) -> tensor<f32> {\n"
	"  %0 = arith.addf %x, %x : tensor<f32>\n"
	"  return %0 : tensor<f32>\n}\n"
	"func.func @keep(%a: tensor<0x3xf32>, %b: tensor<?x2xi32>, %c: tensor<5xi4>,\n"
	"                %d: tensor<2xcomplex<f32>>, %e: tensor<2xui8>, %f: tensor<2xi64>)\n"
	"    -> (tensor<0x3xf32>, tensor<?x2xi32>, tensor<5xi4>, tensor<2xcomplex<f32>>,\n"
	"        tensor<2xui8>, tensor<2xi64>) {\n"
	"  return %a, %b, %c, %d, %e, %f : tensor<0x3xf32>, tensor<?x2xi32>, tensor<5xi4>,\n"
	"      tensor<2xcomplex<f32>>, tensor<2xui8>, tensor<2xi64>\n}\n"
	"func.func @numbers(%i: i32, %l: i64, %f: f32, %d: f64) -> (i32, i64, f32, f64) {\n"
	"  return %i, %l, %f, %d : i32, i64, f32, f64\n}\n"
	"func.func @bytes() -> !util.buffer {\n"
	"  %0 = util.buffer.constant : !util.buffer = dense<1> : tensor<8xi8>\n"
	"  return %0 : !util.buffer\n}\n"
	"func.func @nothing() { return }\n";

static const char torch_text[] =
	"func.func @main_graph(%x: !torch.vtensor<[2,3],f32>, %y: !torch.vtensor<[2,3],f32>)\n"
	"    -> !torch.vtensor<[2,3],f32> {\n"
	"  %one = torch.constant.int 1\n"
	"  %0 = torch.aten.add.Tensor %x, %y, %one : !torch.vtensor<[2,3],f32>,\n"
	"      !torch.vtensor<[2,3],f32>, !torch.int -> !torch.vtensor<[2,3],f32>\n"
	"  return %0 : !torch.vtensor<[2,3],f32>\n}\n";

struct source {
	const char *text, *out;
	const char *backend; // NULL: llvm-cpu
};

static gt_code compile(void *argument, struct gt_err *err)
{
	const struct source *source = argument;
	struct gt_names flags = {0};
	gt_names_add(&flags, source->backend ? source->backend : "--iree-hal-target-backends=llvm-cpu");
	gt_names_add(&flags, "--iree-llvmcpu-target-cpu=generic");
	gt_names_add(&flags, "--iree-input-demote-f64-to-f32=false");
	gt_code rc = gt_iree_compiler.compiler->compile("model", source->text, strlen(source->text),
	                                                &flags, source->out, err);
	gt_names_free(&flags);
	return rc;
}

static int load(void **state)
{
	(void)state;
	struct gt_err err = {0};
	json_t *compiler = NULL;
	gt_toolchain_find(&tools);
	if (gt_iree_compiler.load(&tools, &compiler, &err) != GT_OK ||
	    gt_iree_runtime.load(&tools, &identity, &err) != GT_OK) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	json_decref(compiler);
	module = scratch("functions.vmfb");
	torch_module = scratch("torch.vmfb");
	must_pass(compile, &(struct source){.text = functions, .out = module});
	must_pass(compile, &(struct source){.text = torch_text, .out = torch_module});
	return 0;
}

static int unload(void **state)
{
	(void)state;
	json_decref(identity);
	gt_toolchain_free(&tools);
	free(module);
	free(torch_module);
	remove_scratch();
	return 0;
}

// One value as it goes in or comes out.
struct given {
	enum gt_dtype type;
	uint32_t rank;
	int64_t dims[3];
	const void *data;
};

struct run {
	const char *module, *function, *device;
	struct given in[8];
	size_t in_count;
	struct given out[8];
	size_t out_count;
	int signless; // how all outputs must be marked; -1: either
};

static gt_code check_outputs(const struct run *run, const struct gt_values *out, struct gt_err *err)
{
	if (out->count != run->out_count)
		return gt_fail(err, GT_INTERNAL, "%zu outputs instead of %zu", out->count, run->out_count);
	for (size_t i = 0; i < out->count; i++) {
		const struct given *want = &run->out[i];
		gt_code rc = same_value(out, i, want->type, want->rank, want->dims, want->data, err);
		if (rc)
			return rc;
		if (run->signless >= 0 && out->items[i].tensor.signless != run->signless)
			return gt_fail(err, GT_INTERNAL, "output %zu: signless is %d", i, !run->signless);
	}
	return GT_OK;
}

static gt_code run_function(void *argument, struct gt_err *err)
{
	const struct run *run = argument;
	struct gt_values in = {0}, out = {0}, again = {0};
	for (size_t i = 0; i < run->in_count; i++) {
		const struct given *g = &run->in[i];
		char name[2] = {(char)('a' + i), '\0'};
		add_value(&in, name, g->type, g->rank, g->dims, g->data);
	}
	gt_code rc = gt_iree_runtime.runner->open(run->module ? run->module : module, run->function,
	                                          run->device ? run->device : "local-sync", err);
	if (!rc)
		rc = gt_iree_runtime.runner->call(&in, &out, err);
	if (!rc)
		rc = check_outputs(run, &out, err);
	if (!rc)
		rc = gt_iree_runtime.runner->call(&in, &again, err);
	if (!rc)
		rc = check_outputs(run, &again, err);
	gt_values_free(&in);
	gt_values_free(&out);
	gt_values_free(&again);
	return rc;
}

#define ONE(type, rank, dims, bytes) {{type, rank, dims, bytes}}
#define DIMS(...) {__VA_ARGS__}

static void test_load(void **state)
{
	(void)state;
	assert_int_equal(gt_thread_count(), 1);
	assert_string_equal(gt_json_string_or(identity, "name", ""), "iree-runtime");
	const char *version = gt_json_string_or(identity, "version", "");
	assert_true(version[0] >= '3' && version[1] == '.');
	assert_non_null(strstr(gt_json_string_or(identity, "path", ""), "test_iree_runtime"));
}

static void test_small_integers(void **state)
{
	(void)state;
	const int8_t in[] = {1, -2, 127, 0}, out[] = {-1, 2, -127, 0};
	struct run run = {.function = "neg_i8", .in_count = 1, .out_count = 1, .signless = 1,
	                  .in = ONE(GT_INT8, 1, DIMS(4), in), .out = ONE(GT_INT8, 1, DIMS(4), out)};
	must_pass(run_function, &run);
	// Signless: the module takes unsigned bytes as well, and does not say what it gives back.
	run.in[0].type = GT_UINT8;
	must_pass(run_function, &run);
	run.device = "local-task";
	must_pass(run_function, &run);
}

static void test_floats(void **state)
{
	(void)state;
	const uint16_t half[] = {0x3c00, 0xbc00, 0x0400, 0x7c00}; // 1, -1, smallest normal, infinity
	const uint16_t half_twice[] = {0x4000, 0xc000, 0x0800, 0x7c00};
	must_pass(run_function, &(struct run){.function = "twice_f16", .in_count = 1, .out_count = 1,
		.in = ONE(GT_FLOAT16, 2, DIMS(2, 2), half),
		.out = ONE(GT_FLOAT16, 2, DIMS(2, 2), half_twice)});
	const uint16_t brain[] = {0x3f80, 0xc000, 0x0000}, brain_twice[] = {0x4000, 0xc080, 0x0000};
	must_pass(run_function, &(struct run){.function = "twice_bf16", .in_count = 1, .out_count = 1,
		.in = ONE(GT_BFLOAT16, 1, DIMS(3), brain),
		.out = ONE(GT_BFLOAT16, 1, DIMS(3), brain_twice)});
	const double big[] = {1e300, 0.1}, big_twice[] = {2e300, 0.2}; // neither is a float
	must_pass(run_function, &(struct run){.function = "twice_f64", .in_count = 1, .out_count = 1,
		.in = ONE(GT_FLOAT64, 1, DIMS(2), big), .out = ONE(GT_FLOAT64, 1, DIMS(2), big_twice)});
	const float one = 1.5f, three = 3;
	must_pass(run_function, &(struct run){.function = "scalar", .in_count = 1, .out_count = 1,
		.in = ONE(GT_FLOAT32, 0, DIMS(0), &one), .out = ONE(GT_FLOAT32, 0, DIMS(0), &three)});
}

static void test_bool(void **state)
{
	(void)state;
	const uint8_t in[] = {1, 0, 1}, out[] = {0, 1, 0};
	must_pass(run_function, &(struct run){.function = "not", .in_count = 1, .out_count = 1,
		.in = ONE(GT_BOOL, 1, DIMS(3), in), .out = ONE(GT_BOOL, 1, DIMS(3), out)});
}

static void test_many_kinds_at_once(void **state)
{
	(void)state;
	const int32_t b[] = {1, -2, 3, -4, 5, -6};
	const uint8_t c[] = {0x21, 0xf3, 0x07}; // 1, 2, 3, -1, 7
	const float d[] = {1, -1, 0.5f, 2};
	const uint8_t e[] = {200, 3};
	const int64_t f[] = {INT64_MIN, INT64_MAX};
	struct run run = {.function = "keep", .in_count = 6, .out_count = 6, .signless = -1,
		.in = {{GT_FLOAT32, 2, {0, 3}, NULL}, {GT_INT32, 2, {3, 2}, b}, {GT_INT4, 1, {5}, c},
		       {GT_COMPLEX64, 1, {2}, d}, {GT_UINT8, 1, {2}, e}, {GT_INT64, 1, {2}, f}},
		.out = {{GT_FLOAT32, 2, {0, 3}, NULL}, {GT_INT32, 2, {3, 2}, b}, {GT_INT4, 1, {5}, c},
		        {GT_COMPLEX64, 1, {2}, d}, {GT_INT8, 1, {2}, e}, {GT_INT64, 1, {2}, f}}};
	must_pass(run_function, &run);
	run.in[1].dims[0] = run.out[1].dims[0] = 0; // a dynamic dimension may be nothing
	must_pass(run_function, &run);
	run.in[1].dims[1] = 1;
	must_fail(run_function, &run, GT_MISMATCH, "input 1 'b' is 0x1xi32 (int32) but the module takes ?x2xi32");
	run.in[1].dims[1] = 2;
	run.in[3].type = GT_FLOAT64;
	must_fail(run_function, &run, GT_MISMATCH, "but the module takes 2xcomplex<f32>");
}

static void test_plain_numbers(void **state)
{
	(void)state;
	const int32_t i = -7;
	const int64_t l = INT64_MIN;
	const float f = 0.25f;
	const double d = 1e300;
	struct run run = {.function = "numbers", .in_count = 4, .out_count = 4, .signless = -1,
		.in = {{GT_INT32, 0, {0}, &i}, {GT_INT64, 0, {0}, &l}, {GT_FLOAT32, 0, {0}, &f},
		       {GT_FLOAT64, 0, {0}, &d}},
		.out = {{GT_INT32, 0, {0}, &i}, {GT_INT64, 0, {0}, &l}, {GT_FLOAT32, 0, {0}, &f},
		        {GT_FLOAT64, 0, {0}, &d}}};
	must_pass(run_function, &run);
	run.in[0] = (struct given){GT_FLOAT32, 0, {0}, &f};
	must_fail(run_function, &run, GT_MISMATCH, "input 0 'a'");
	run.in[0] = (struct given){GT_INT32, 1, {1}, &i};
	must_fail(run_function, &run, GT_MISMATCH, "input 0 'a'");
}

static void test_wrong_inputs(void **state)
{
	(void)state;
	const float data[16] = {0};
	struct run run = {.function = "scalar"};
	must_fail(run_function, &run, GT_MISMATCH, "'scalar' takes 1 input but got 0");
	run.in_count = 2;
	run.in[0] = run.in[1] = (struct given){GT_FLOAT32, 0, {0}, data};
	must_fail(run_function, &run, GT_MISMATCH, "'scalar' takes 1 input but got 2");
	run.in_count = 1;
	run.in[0].type = GT_FLOAT64;
	must_fail(run_function, &run, GT_MISMATCH, "input 0 'a' is f64 (double) but the module takes f32");
	run.in[0].type = GT_FLOAT32;
	run.in[0].rank = 1;
	run.in[0].dims[0] = 1;
	must_fail(run_function, &run, GT_MISMATCH, "input 0 'a' is 1xf32 (float) but the module takes f32");
	run.function = "not";
	run.in[0] = (struct given){GT_UINT8, 1, {3}, data};
	must_fail(run_function, &run, GT_MISMATCH, "input 0 'a' is 3xui8 (uint8) but the module takes 3xi1");
	run.in[0].type = GT_FLOAT4E2M1;
	must_fail(run_function, &run, GT_MISMATCH, "but the module takes 3xi1");
}

// Modules that come by way of torch dialects declare nothing; the runtime finds out.
static void test_wrong_inputs_without_declaration(void **state)
{
	(void)state;
	const float in[] = {1, 2, 3, 4, 5, 6}, out[] = {2, 4, 6, 8, 10, 12};
	const double wide[6] = {0};
	struct run run = {.module = torch_module, .function = "", .in_count = 2, .out_count = 1,
		.in = {{GT_FLOAT32, 2, {2, 3}, in}, {GT_FLOAT32, 2, {2, 3}, in}},
		.out = {{GT_FLOAT32, 2, {2, 3}, out}}};
	must_pass(run_function, &run);
	run.device = "local-task";
	must_pass(run_function, &run);
	run.in[1] = (struct given){GT_FLOAT64, 2, {2, 3}, wide};
	must_fail(run_function, &run, GT_MISMATCH, "input 1 'b' is f64 but the module takes f32");
	run.in[0] = run.in[1];
	must_fail(run_function, &run, GT_MISMATCH, "an input is f64 but the module takes f32");
	run.in[0] = (struct given){GT_FLOAT32, 2, {2, 3}, in};
	run.in[1] = (struct given){GT_FLOAT32, 2, {3, 2}, in};
	must_fail(run_function, &run, GT_MISMATCH, "input 1 'b' is of shape 3x2 but the module takes shape 2x3");
	run.in[1] = (struct given){GT_FLOAT32, 0, {0}, in};
	must_fail(run_function, &run, GT_MISMATCH, "input 1 'b' is of shape [] but the module takes shape 2x3");
	run.in_count = 1;
	must_fail(run_function, &run, GT_MISMATCH, "takes 2 inputs but got 1");
}

static void test_functions(void **state)
{
	(void)state;
	must_pass(run_function, &(struct run){.function = "nothing"});
	must_fail(run_function, &(struct run){.function = "nosuch"}, GT_NOT_FOUND,
	          "no function 'nosuch'; it has ");
	must_fail(run_function, &(struct run){.function = ""}, GT_BAD_USAGE, "more than one function");
	must_fail(run_function, &(struct run){.module = torch_module, .function = "nosuch"},
	          GT_NOT_FOUND, "it has main_graph");
	must_fail(run_function, &(struct run){.module = torch_module, .function = "main_graph$async"},
	          GT_UNSUPPORTED, "asynchronous");
	must_fail(run_function, &(struct run){.function = "bytes", .out_count = 1}, GT_UNSUPPORTED,
	          "output 0: it is a !vm.buffer");
}

static void test_bad_modules(void **state)
{
	(void)state;
	struct run run = {.module = "/nonexistent/x.vmfb", .function = ""};
	must_fail(run_function, &run, GT_NOT_FOUND, "/nonexistent/x.vmfb");
	char *bad = scratch("bad.vmfb");
	run.module = bad;
	write_text(bad, "");
	must_fail(run_function, &run, GT_ENGINE, "bad.vmfb");
	write_text(bad, "this is not a module, but it is long enough to hold a header or two");
	must_fail(run_function, &run, GT_ENGINE, "bad.vmfb");
	struct gt_buf bytes = {0};
	assert_int_equal(gt_file_read(torch_module, 1 << 24, &bytes, NULL), GT_OK);
	assert_int_equal(gt_file_write(bad, bytes.data, bytes.length / 2, NULL), GT_OK);
	must_fail(run_function, &run, GT_ENGINE, "bad.vmfb");
	// The full text goes to the log, one sentence into the frame.
	struct outcome outcome;
	in_job(run_function, &run, &outcome);
	assert_true(strlen(outcome.log) > 0);
	assert_null(strchr(outcome.err.text, '\n'));
	free_outcome(&outcome);
	gt_buf_free(&bytes);
	free(bad);
}

static gt_code list_devices(void *argument, struct gt_err *err)
{
	(void)argument;
	struct gt_names lines = {0};
	gt_code rc = gt_iree_runtime.devices(&lines, err);
	if (!rc && (lines.count < 2 || !gt_names_contain(&lines, "local-sync: default") ||
	            !gt_names_contain(&lines, "local-task: default")))
		rc = gt_fail(err, GT_INTERNAL, "there are %zu devices", lines.count);
	gt_names_free(&lines);
	return rc;
}

static gt_code count_workers(void *argument, struct gt_err *err)
{
	(void)argument;
	gt_code rc = gt_iree_runtime.runner->open(torch_module, "", "local-task", err);
	// The main thread, at most eight workers, and what polls for completion.
	if (!rc && (gt_thread_count() < 2 || gt_thread_count() > 11))
		rc = gt_fail(err, GT_INTERNAL, "local-task has %zu threads", gt_thread_count());
	return rc;
}

static void test_devices(void **state)
{
	(void)state;
	must_pass(list_devices, NULL);
	must_pass(count_workers, NULL);
	must_fail(run_function, &(struct run){.function = "", .device = "nosuch"}, GT_NOT_FOUND,
	          "there is no device 'nosuch'; this program has local-sync, local-task");
	must_fail(run_function, &(struct run){.function = "", .device = "vulkan://nosuch"}, GT_ENGINE,
	          "device 'vulkan://nosuch'");
	assert_int_equal(gt_thread_count(), 1);
}

static gt_code need_vulkan(void *argument, struct gt_err *err)
{
	(void)argument;
	struct gt_names lines = {0};
	gt_code rc = gt_iree_runtime.devices(&lines, err);
	bool found = false;
	for (size_t i = 0; i < lines.count; i++)
		found |= strncmp(lines.items[i], "vulkan://", 9) == 0;
	gt_names_free(&lines);
	return rc ? rc : found ? GT_OK : gt_fail(err, GT_NOT_FOUND, "no vulkan device");
}

static void test_vulkan(void **state)
{
	(void)state;
	struct outcome outcome;
	in_job(need_vulkan, NULL, &outcome);
	bool there = outcome.framed && outcome.err.code == GT_OK;
	free_outcome(&outcome);
	if (!there)
		skip(); // no loader, or no driver, on this machine
	char *path = scratch("vulkan.vmfb");
	must_pass(compile, &(struct source){.text = torch_text, .out = path,
	                                    .backend = "--iree-hal-target-backends=vulkan-spirv"});
	const float in[] = {1, 2, 3, 4, 5, 6}, out[] = {2, 4, 6, 8, 10, 12};
	struct run run = {.module = path, .device = "vulkan", .function = "main_graph", .in_count = 2,
		.in = {{GT_FLOAT32, 2, {2, 3}, in}, {GT_FLOAT32, 2, {2, 3}, in}}, .out_count = 1,
		.out = {{GT_FLOAT32, 2, {2, 3}, out}}};
	must_pass(run_function, &run);
	// A module for one kind of device on another.
	run.device = "local-sync";
	must_fail(run_function, &run, GT_ENGINE, "on device 'local-sync': HAL device");
	run.device = "vulkan";
	run.module = torch_module;
	must_fail(run_function, &run, GT_ENGINE, "on device 'vulkan': HAL device");
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_small_integers),
		cmocka_unit_test(test_floats),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_many_kinds_at_once),
		cmocka_unit_test(test_plain_numbers),
		cmocka_unit_test(test_wrong_inputs),
		cmocka_unit_test(test_wrong_inputs_without_declaration),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_bad_modules),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_vulkan),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
