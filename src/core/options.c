#include "core/options.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_TOLERANCE 1e-3

void gt_options_init(struct gt_options *o)
{
	*o = (struct gt_options){
		.mode = gt_strdup("onnx-iree"),
		.device = gt_strdup("local-task"),
		.backend = gt_strdup("llvm-cpu"),
		.tolerance = {.atol = DEFAULT_TOLERANCE, .rtol = DEFAULT_TOLERANCE, .nan_equal = true},
		.dims = json_object(),
	};
}

void gt_options_free(struct gt_options *o)
{
	free(o->mode);
	free(o->device);
	free(o->backend);
	gt_names_free(&o->compile_args);
	json_decref(o->dims);
	*o = (struct gt_options){0};
}

json_t *gt_options_to_json(const struct gt_options *o)
{
	json_t *args = json_array();
	for (size_t i = 0; i < o->compile_args.count; i++)
		json_array_append_new(args, gt_json_text(o->compile_args.items[i]));
	const char *reference = o->stored_reference ? "stored" : o->ort_reference ? "ort" : "";

	json_t *json = json_object();
	gt_json_set(json, "mode", gt_json_text(o->mode));
	gt_json_set(json, "device", gt_json_text(o->device));
	gt_json_set(json, "backend", gt_json_text(o->backend));
	gt_json_set(json, "compile_args", args);
	gt_json_set(json, "torch_to_linalg", json_boolean(o->torch_to_linalg));
	gt_json_set(json, "load_inputs", json_boolean(o->load_inputs));
	gt_json_set(json, "reference", json_string(reference));
	gt_json_set(json, "atol", gt_json_real(o->tolerance.atol));
	gt_json_set(json, "rtol", gt_json_real(o->tolerance.rtol));
	gt_json_set(json, "integer_tolerance", json_boolean(o->tolerance.for_integers));
	gt_json_set(json, "nan_equal", json_boolean(o->tolerance.nan_equal));
	gt_json_set(json, "seed", json_integer((json_int_t)o->seed));
	gt_json_set(json, "dims", json_deep_copy(o->dims));
	return json;
}

static void replace(char **text, const json_t *json, const char *key)
{
	const char *value = gt_json_string_or(json, key, NULL);
	if (!value)
		return;
	free(*text);
	*text = gt_strdup(value);
}

gt_code gt_options_from_json(const json_t *json, struct gt_options *out, struct gt_err *err)
{
	gt_options_init(out);
	if (!json_is_object(json))
		return gt_fail(err, GT_BAD_DATA, "member \"options\" is not an object");
	replace(&out->mode, json, "mode");
	replace(&out->device, json, "device");
	replace(&out->backend, json, "backend");
	size_t i;
	json_t *arg;
	json_array_foreach(json_object_get(json, "compile_args"), i, arg)
		if (json_is_string(arg))
			gt_names_add(&out->compile_args, json_string_value(arg));
	const char *reference = gt_json_string_or(json, "reference", "");
	out->stored_reference = strcmp(reference, "stored") == 0;
	out->ort_reference = strcmp(reference, "ort") == 0;
	out->torch_to_linalg = gt_json_bool_or(json, "torch_to_linalg", false);
	out->load_inputs = gt_json_bool_or(json, "load_inputs", false);
	out->tolerance.atol = gt_json_number_or(json, "atol", DEFAULT_TOLERANCE);
	out->tolerance.rtol = gt_json_number_or(json, "rtol", DEFAULT_TOLERANCE);
	out->tolerance.for_integers = gt_json_bool_or(json, "integer_tolerance", false);
	out->tolerance.nan_equal = gt_json_bool_or(json, "nan_equal", true);
	out->seed = (uint64_t)gt_json_integer_or(json, "seed", 0);
	json_t *dims = json_object_get(json, "dims");
	if (json_is_object(dims)) {
		json_decref(out->dims);
		out->dims = json_deep_copy(dims);
	}
	return GT_OK;
}

// A flag of ours, unless the user gave the same one: most may be given only once.
static void add_default(const struct gt_options *o, struct gt_names *flags, const char *flag,
                        const char *value)
{
	size_t n = strlen(flag);
	for (size_t i = 0; i < o->compile_args.count; i++) {
		const char *given = o->compile_args.items[i];
		if (strncmp(given, flag, n) == 0 && (given[n] == '=' || given[n] == '\0'))
			return;
	}
	char *whole = gt_format("%s=%s", flag, value);
	gt_names_add(flags, whole);
	free(whole);
}

void gt_options_compile_flags(const struct gt_options *o, struct gt_names *flags)
{
	add_default(o, flags, "--iree-hal-target-backends", o->backend);
	if (strcmp(o->backend, "llvm-cpu") == 0)
		add_default(o, flags, "--iree-llvmcpu-target-cpu", "host");
	// IREE would turn double into float behind the test's back, in the signature too.
	add_default(o, flags, "--iree-input-demote-f64-to-f32", "false");
	for (size_t i = 0; i < o->compile_args.count; i++)
		gt_names_add(flags, o->compile_args.items[i]);
}
