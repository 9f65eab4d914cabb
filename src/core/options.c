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

// Members are read strictly: a default in the place of what is missing would be another run's.

static gt_code read_text(const json_t *json, const char *key, char **out, struct gt_err *err)
{
	const char *text;
	gt_code rc = gt_json_string(json, key, &text, err);
	if (rc)
		return rc;
	free(*out);
	*out = gt_strdup(text);
	return GT_OK;
}

static gt_code read_bool(const json_t *json, const char *key, bool *out, struct gt_err *err)
{
	const json_t *value = json_object_get(json, key);
	*out = json_is_true(value);
	return json_is_boolean(value)
	               ? GT_OK
	               : gt_fail(err, GT_BAD_DATA, "member \"%s\" is neither true nor false", key);
}

static gt_code read_tolerance(const json_t *json, const char *key, double *out, struct gt_err *err)
{
	const json_t *value = json_object_get(json, key);
	*out = json_number_value(value);
	return json_is_number(value) && *out >= 0
	               ? GT_OK
	               : gt_fail(err, GT_BAD_DATA, "member \"%s\" is no tolerance", key);
}

static gt_code read_flags(const json_t *json, struct gt_names *out, struct gt_err *err)
{
	size_t i;
	json_t *flag;
	const json_t *list = json_object_get(json, "compile_args");
	bool good = json_is_array(list);
	json_array_foreach(list, i, flag) {
		good = good && json_is_string(flag);
		if (good)
			gt_names_add(out, json_string_value(flag));
	}
	return good ? GT_OK
	            : gt_fail(err, GT_BAD_DATA, "member \"compile_args\" is not a list of texts");
}

static gt_code read_reference(const json_t *json, struct gt_options *out, struct gt_err *err)
{
	const char *text;
	gt_code rc = gt_json_string(json, "reference", &text, err);
	if (rc)
		return rc;
	out->stored_reference = strcmp(text, "stored") == 0;
	out->ort_reference = strcmp(text, "ort") == 0;
	return out->stored_reference || out->ort_reference || !*text
	               ? GT_OK
	               : gt_fail(err, GT_BAD_DATA, "member \"reference\" is \"%s\"", text);
}

static gt_code read_dims(const json_t *json, json_t **out, struct gt_err *err)
{
	json_t *dims = json_object_get(json, "dims"), *size;
	const char *name;
	bool good = json_is_object(dims);
	json_object_foreach(dims, name, size)
		good = good && json_is_integer(size) && json_integer_value(size) >= 0;
	if (!good)
		return gt_fail(err, GT_BAD_DATA, "member \"dims\" does not give sizes by name");
	json_decref(*out);
	*out = json_deep_copy(dims);
	return GT_OK;
}

static gt_code read_all(const json_t *json, struct gt_options *out, struct gt_err *err)
{
	int64_t seed = 0;
	gt_code rc = read_text(json, "mode", &out->mode, err);
	if (!rc)
		rc = read_text(json, "device", &out->device, err);
	if (!rc)
		rc = read_text(json, "backend", &out->backend, err);
	if (!rc)
		rc = read_flags(json, &out->compile_args, err);
	if (!rc)
		rc = read_bool(json, "torch_to_linalg", &out->torch_to_linalg, err);
	if (!rc)
		rc = read_bool(json, "load_inputs", &out->load_inputs, err);
	if (!rc)
		rc = read_reference(json, out, err);
	if (!rc)
		rc = read_tolerance(json, "atol", &out->tolerance.atol, err);
	if (!rc)
		rc = read_tolerance(json, "rtol", &out->tolerance.rtol, err);
	if (!rc)
		rc = read_bool(json, "integer_tolerance", &out->tolerance.for_integers, err);
	if (!rc)
		rc = read_bool(json, "nan_equal", &out->tolerance.nan_equal, err);
	if (!rc)
		rc = gt_json_integer(json, "seed", &seed, err);
	out->seed = (uint64_t)seed;
	return rc ? rc : read_dims(json, &out->dims, err);
}

gt_code gt_options_from_json(const json_t *json, struct gt_options *out, struct gt_err *err)
{
	gt_options_init(out);
	if (!json_is_object(json))
		return gt_fail(err, GT_BAD_DATA, "member \"options\" is not an object");
	gt_code rc = read_all(json, out, err);
	return rc ? gt_err_context(err, "options") : GT_OK;
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
