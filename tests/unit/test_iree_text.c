// What is made of the texts of IREE's runtime: declarations of functions, and status messages.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/iree_flags.h"
#include "engine/iree_message.h"
#include "engine/iree_signature.h"

#include <stdlib.h>
#include <string.h>

static void parse(const char *text, struct gt_iree_signature *out)
{
	// A copy without NUL and of exact size, so that a sanitizer sees a read past the end.
	size_t length = strlen(text);
	char *exact = malloc(length ? length : 1);
	assert_non_null(exact);
	memcpy(exact, text, length);
	gt_iree_signature_parse(exact, length, out);
	free(exact);
}

static void test_declaration(void **state)
{
	(void)state;
	struct gt_iree_signature s;
	parse("sync func @f(%input0: tensor<?x3xf32> {iree.x = {a = 1, b}}, %input1: i32, "
	      "%input2: tensor<i1>, %input3: tensor<4xcomplex<f32>>, %input4: tensor<0x2xui8>) -> "
	      "(%output0: tensor<1xf32>, %output1: i32)",
	      &s);
	assert_true(s.known);
	assert_int_equal(s.input_count, 5);
	assert_false(s.inputs[0].tensor); // with attributes behind it: left to the runtime
	assert_string_equal(s.inputs[1].type, "i32");
	assert_false(s.inputs[1].tensor);
	assert_true(s.inputs[2].tensor);
	assert_int_equal(s.inputs[2].rank, 0);
	assert_string_equal(s.inputs[2].element, "i1");
	assert_true(s.inputs[3].tensor);
	assert_string_equal(s.inputs[3].element, "complex<f32>");
	assert_int_equal(s.inputs[3].dims[0], 4);
	assert_int_equal(s.inputs[4].rank, 2);
	assert_int_equal(s.inputs[4].dims[0], 0);
	gt_iree_signature_free(&s);
	parse("sync func @f(%input0: tensor<?x3xf32>) -> ()", &s);
	assert_true(s.inputs[0].tensor);
	assert_int_equal(s.inputs[0].dims[0], -1);
	assert_int_equal(s.inputs[0].dims[1], 3);
	gt_iree_signature_free(&s);
}

static void test_declarations_without_inputs(void **state)
{
	(void)state;
	struct gt_iree_signature s;
	parse("sync func @f() -> (%output0: f32)", &s);
	assert_true(s.known);
	assert_int_equal(s.input_count, 0);
	gt_iree_signature_free(&s);
}

static void test_types_left_to_the_runtime(void **state)
{
	(void)state;
	struct gt_iree_signature s;
	parse("func @f(%a: tensor<*xf32>, %b: tensor<4xf32, #enc<x>>, %c: tensor<2xindex>, %d: "
	      "!vm.list<?>, %e: (i32) -> i32, %f: tensor<4x!x.y>, %g: tensor<99999999999999999999xf32>)",
	      &s);
	assert_true(s.known);
	assert_int_equal(s.input_count, 7);
	for (size_t i = 0; i < 6; i++)
		assert_false(s.inputs[i].tensor);
	gt_iree_signature_free(&s);
}

static void test_hostile_declarations(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "@", "(", "@(", "@f(", "@f(%a: tensor<", "@f(%a: tensor<4", "@f(%a: tensor<4x", ")",
		"@f(%a: tensor<4xf32>", "@f(((((((", "@f(]]", "@f(,,,", "@f(->", ">>>>@(<",
	};
	for (size_t i = 0; i < GT_COUNTOF(texts); i++) {
		struct gt_iree_signature s;
		parse(texts[i], &s);
		if (!s.known)
			assert_int_equal(s.input_count, 0);
		gt_iree_signature_free(&s);
	}
	struct gt_buf deep = {0};
	gt_buf_puts(&deep, "@f(%a: tensor<");
	for (int i = 0; i < 100; i++)
		gt_buf_puts(&deep, "1x");
	gt_buf_puts(&deep, "f32>)");
	struct gt_iree_signature s;
	parse(gt_buf_text(&deep), &s);
	assert_true(s.known);
	assert_false(s.inputs[0].tensor);
	gt_iree_signature_free(&s);
	gt_buf_free(&deep);
}

static void test_elements(void **state)
{
	(void)state;
	assert_true(gt_iree_element_fits("i8", GT_INT8));
	assert_true(gt_iree_element_fits("i8", GT_UINT8));
	assert_true(gt_iree_element_fits("ui8", GT_UINT8));
	assert_false(gt_iree_element_fits("ui8", GT_INT8));
	assert_true(gt_iree_element_fits("si8", GT_INT8));
	assert_false(gt_iree_element_fits("si8", GT_UINT8));
	assert_false(gt_iree_element_fits("i8", GT_BOOL));
	assert_true(gt_iree_element_fits("i1", GT_BOOL));
	assert_false(gt_iree_element_fits("i1", GT_UINT8));
	assert_false(gt_iree_element_fits("i16", GT_FLOAT16));
	assert_false(gt_iree_element_fits("f16", GT_BFLOAT16));
	assert_true(gt_iree_element_fits("bf16", GT_BFLOAT16));
	assert_false(gt_iree_element_fits("f32", GT_FLOAT64));
	assert_true(gt_iree_element_fits("complex<f64>", GT_COMPLEX128));
	assert_true(gt_iree_element_fits("i4", GT_UINT4));
	assert_true(gt_iree_element_fits("index", GT_INT64)); // none of ONNX's: not ours to refuse
}

static void assert_sentence(const char *text, const char *wanted)
{
	struct gt_buf out = {0};
	gt_iree_sentence(text, &out);
	assert_string_equal(gt_buf_text(&out), wanted);
	gt_buf_free(&out);
}

static void test_sentences(void **state)
{
	(void)state;
	assert_sentence("iree/runtime/src/iree/vm/bytecode/archive.c:119: INVALID_ARGUMENT; FlatBuffer "
	                "length prefix out of bounds (prefix is 6204 but only 3932 available)",
	                "FlatBuffer length prefix out of bounds (prefix is 6204 but only 3932 "
	                "available) (INVALID_ARGUMENT)");
	assert_sentence("<vm>:0: INCOMPATIBLE; HAL device `__device_0` not found or unavailable: "
	                "#hal.device.target<\"local\", [lots]>; ",
	                "HAL device `__device_0` not found or unavailable (INCOMPATIBLE)");
	assert_sentence("a.c:1: OUT_OF_RANGE; too far; while invoking native function x; while calling "
	                "import; \n[ 1] bytecode module@1:158 -\n[ 0] bytecode module@2:64 -",
	                "too far (OUT_OF_RANGE)");
	assert_sentence("a.c:1: RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED");
	assert_sentence("a.c:1: ABORTED; \n[ 0] bytecode module@1:1 -", "ABORTED");
	assert_sentence("UNKNOWN", "UNKNOWN");
	assert_sentence("", "");
}

static void assert_diagnostic(const char *text, const char *sentence)
{
	struct gt_buf out = {0};
	gt_iree_diagnostic(text, strlen(text), &out);
	assert_string_equal(gt_buf_text(&out), sentence);
	gt_buf_free(&out);
}

static void test_diagnostics(void **state)
{
	(void)state;
	assert_diagnostic("model.torch_onnx.mlir:4:10: failed to legalize operation 'torch.operator' that "
	                  "was explicitly marked illegal: %0 = \"torch.operator\"(%arg0) <{name = "
	                  "\"onnx.Det\"}> : (!torch.vtensor<[2],f32>) -> !torch.vtensor<[2],f32>\n",
	                  "failed to legalize 'onnx.Det' at model.torch_onnx.mlir:4:10");
	assert_diagnostic("loc(unknown): failed to legalize operation 'torch.constant.bool': %2 = "
	                  "\"torch.constant.bool\"() <{value = true}> : () -> !torch.bool",
	                  "failed to legalize operation 'torch.constant.bool'");
	assert_diagnostic("m.mlir:1:2: failed to legalize operation 'torch.aten.cumsum' that was "
	                  "explicitly marked illegal: %3 = \"torch.aten.cumsum\"(%1)",
	                  "failed to legalize operation 'torch.aten.cumsum' at m.mlir:1:2");
	assert_diagnostic("m.mlir:1:2: unhandled torch type: '!torch.list<vtensor<[3,?],f32>>'\nnote",
	                  "unhandled torch type: '!torch.list<vtensor<[3,?],f32>>' at m.mlir:1:2");
	assert_diagnostic("m.mlir: not a place", "m.mlir: not a place");
	assert_diagnostic("m.mlir:12: no column", "m.mlir:12: no column");
	assert_diagnostic("failed to legalize operation 'torch.operator'",
	                  "failed to legalize operation 'torch.operator'");
	assert_diagnostic("loc(unknown): ", "");
	assert_diagnostic("", "");
}

static gt_code split(const char *flag, struct gt_iree_flags *out, struct gt_err *err)
{
	struct gt_names flags = {0};
	gt_names_add(&flags, "--iree-opt-level=O2");
	gt_names_add(&flags, flag);
	gt_code rc = gt_iree_flags_split(&flags, out, err);
	gt_names_free(&flags);
	return rc;
}

static void test_flags_of_the_command(void **state)
{
	(void)state;
	struct gt_iree_flags f;
	struct gt_err err;
	assert_int_equal(split("--compile-from=flow", &f, NULL), GT_OK);
	assert_string_equal(f.compile_from, "flow");
	assert_int_equal(f.library.count, 1);
	assert_true(f.verify);
	gt_iree_flags_free(&f);
	assert_int_equal(split("--dump-compilation-phases-to=phases", &f, NULL), GT_OK);
	assert_string_equal(f.dump_phases_to, "phases");
	gt_iree_flags_free(&f);
	assert_int_equal(split("--verify=false", &f, NULL), GT_OK);
	assert_false(f.verify);
	gt_iree_flags_free(&f);
	assert_int_equal(split("--verify", &f, NULL), GT_OK);
	assert_true(f.verify);
	gt_iree_flags_free(&f);
	// What only begins like one of them is the library's.
	assert_int_equal(split("--verify-each=0", &f, NULL), GT_OK);
	assert_int_equal(f.library.count, 2);
	gt_iree_flags_free(&f);
	const char *refused[] = {"--compile-to=flow", "--compile-to", "--output-format=vm-c",
	                         "--verify=perhaps", "--split-input-file", "-o=x", "--help"};
	for (size_t i = 0; i < GT_COUNTOF(refused); i++) {
		err.text[0] = '\0';
		assert_int_equal(split(refused[i], &f, &err), GT_BAD_USAGE);
		assert_non_null(strstr(err.text, refused[i]));
		gt_iree_flags_free(&f);
	}
}

static void test_input_mismatch(void **state)
{
	(void)state;
	const int64_t dims[] = {3, 4};
	struct gt_values inputs = {0};
	assert_int_equal(gt_tensor_init(&gt_values_add(&inputs, "x")->tensor, GT_FLOAT64, 2, dims, NULL),
	                 GT_OK);
	assert_int_equal(gt_tensor_init(&gt_values_add(&inputs, "y")->tensor, GT_FLOAT32, 0, NULL, NULL),
	                 GT_OK);
	struct gt_err err = {0};
	const char *type = "b.c:185: INVALID_ARGUMENT; tensor element type mismatch; expected f32 "
	                   "(21000020) but have f64 (21000040); while invoking native function "
	                   "hal.buffer_view.assert; while calling import; ";
	assert_true(gt_iree_input_mismatch(type, &inputs, &err));
	assert_int_equal(err.code, GT_MISMATCH);
	assert_string_equal(err.text, "input 0 'x' is f64 but the module takes f32");
	const char *shape = "b.c:208: INVALID_ARGUMENT; tensor shape rank mismatch; expected 3 but have "
	                    "0; expected shape `3x4x5`, actual shape ``; while invoking native function "
	                    "hal.buffer_view.assert; ";
	assert_true(gt_iree_input_mismatch(shape, &inputs, &err));
	assert_string_equal(err.text, "input 1 'y' is of shape [] but the module takes shape 3x4x5");
	// The same words from within the function say nothing about its inputs.
	assert_false(gt_iree_input_mismatch("b.c:1: X; element type mismatch; expected f32 (1) but have "
	                                    "f64 (2); while invoking native function other; ",
	                                    &inputs, &err));
	assert_false(gt_iree_input_mismatch("b.c:1: X; hal.buffer_view.assert", &inputs, &err));
	assert_false(gt_iree_input_mismatch("", &inputs, &err));
	gt_values_free(&inputs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_declaration),
		cmocka_unit_test(test_declarations_without_inputs),
		cmocka_unit_test(test_types_left_to_the_runtime),
		cmocka_unit_test(test_hostile_declarations),
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_diagnostics),
		cmocka_unit_test(test_flags_of_the_command),
		cmocka_unit_test(test_input_mismatch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
