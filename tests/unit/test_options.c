// Options of a run: what they become in a request, and the flags of a compilation.
#include "core/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_flags(struct gt_options *o, const char *wanted)
{
	struct gt_names flags = {0};
	struct gt_buf text = {0};
	gt_options_compile_flags(o, &flags);
	for (size_t i = 0; i < flags.count; i++)
		gt_buf_printf(&text, "%s%s", i ? " " : "", flags.items[i]);
	assert_string_equal(gt_buf_text(&text), wanted);
	gt_buf_free(&text);
	gt_names_free(&flags);
}

static void test_flags(void **state)
{
	(void)state;
	struct gt_options o;
	gt_options_init(&o);
	assert_flags(&o, "--iree-hal-target-backends=llvm-cpu --iree-llvmcpu-target-cpu=host "
	                 "--iree-input-demote-f64-to-f32=false");
	// What the user says comes last and replaces ours, not what only begins like it.
	gt_names_add(&o.compile_args, "--iree-input-demote-f64-to-f32");
	gt_names_add(&o.compile_args, "--iree-llvmcpu-target-cpu-features=+avx");
	assert_flags(&o, "--iree-hal-target-backends=llvm-cpu --iree-llvmcpu-target-cpu=host "
	                 "--iree-input-demote-f64-to-f32 --iree-llvmcpu-target-cpu-features=+avx");
	gt_names_add(&o.compile_args, "--iree-llvmcpu-target-cpu=generic");
	assert_flags(&o, "--iree-hal-target-backends=llvm-cpu --iree-input-demote-f64-to-f32 "
	                 "--iree-llvmcpu-target-cpu-features=+avx --iree-llvmcpu-target-cpu=generic");
	gt_options_free(&o);
	gt_options_init(&o);
	free(o.backend);
	o.backend = gt_strdup("vmvx");
	assert_flags(&o, "--iree-hal-target-backends=vmvx --iree-input-demote-f64-to-f32=false");
	gt_options_free(&o);
	gt_options_free(&o);
}

static void test_round_trip(void **state)
{
	(void)state;
	struct gt_options o, back;
	gt_options_init(&o);
	free(o.device);
	o.device = gt_strdup("local-sync");
	gt_names_add(&o.compile_args, "--a=b c");
	o.torch_to_linalg = o.load_inputs = o.ort_reference = true;
	o.tolerance.atol = 1e-7;
	o.tolerance.rtol = 0;
	o.tolerance.for_integers = true;
	o.tolerance.nan_equal = false;
	o.seed = 1234567890123;
	json_object_set_new(o.dims, "batch", json_integer(4));
	json_t *json = gt_options_to_json(&o);
	assert_int_equal(gt_options_from_json(json, &back, NULL), GT_OK);
	json_t *again = gt_options_to_json(&back);
	assert_true(json_equal(json, again));
	assert_true(back.load_inputs && back.torch_to_linalg && back.ort_reference);
	assert_false(back.stored_reference || back.tolerance.nan_equal);
	assert_true(back.tolerance.atol == 1e-7 && back.tolerance.rtol == 0);
	assert_int_equal(back.seed, 1234567890123);
	assert_string_equal(back.compile_args.items[0], "--a=b c");
	// A copy, not the same object.
	json_object_clear(o.dims);
	assert_int_equal(gt_json_integer_or(back.dims, "batch", 0), 4);
	json_decref(json);
	json_decref(again);
	gt_options_free(&o);
	gt_options_free(&back);
}

// What is missing or of another type is refused: a default would be another run's.
static void test_strict(void **state)
{
	(void)state;
	struct gt_options o;
	struct gt_err err;
	const char *key;
	json_t *value;
	gt_options_init(&o);
	json_t *whole = gt_options_to_json(&o);
	gt_options_free(&o);
	json_object_foreach(whole, key, value) {
		static const char *const wrong[] = {NULL, "null", "-1.5", "\"stor\"", "[7]", "{\"N\":-1}"};
		for (size_t i = 0; i < GT_COUNTOF(wrong); i++) {
			json_t *json = json_deep_copy(whole);
			if (wrong[i] && json_is_string(value) && strcmp(key, "reference") != 0 && i == 3)
				i++; // any text will do
			json_object_del(json, key);
			if (wrong[i])
				gt_json_set(json, key, json_loads(wrong[i], JSON_DECODE_ANY, NULL));
			if (gt_options_from_json(json, &o, &err) != GT_BAD_DATA || !strstr(err.text, key))
				fail_msg("%s %s: %s", key, wrong[i] ? wrong[i] : "missing", err.text);
			json_decref(json);
			gt_options_free(&o);
		}
	}
	assert_int_equal(gt_options_from_json(NULL, &o, &err), GT_BAD_DATA);
	assert_string_equal(err.text, "member \"options\" is not an object");
	gt_options_free(&o);
	json_decref(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_strict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
