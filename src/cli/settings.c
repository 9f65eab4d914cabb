#include "cli/settings.h"

#include <stdlib.h>
#include <string.h>

static gt_code choose(const struct gt_args *args, const char *flag, const char *const *choices,
                      char **target, struct gt_err *err)
{
	size_t at;
	const char *text = gt_arg_text(args, flag, NULL);
	if (!text)
		return GT_OK;
	gt_code rc = gt_arg_choice(flag, text, choices, &at, err);
	if (!rc) {
		free(*target);
		*target = gt_strdup(choices[at]);
	}
	return rc;
}

// A driver, or one device of it by the name that doctor prints.
static gt_code choose_device(const struct gt_args *args, char **target, struct gt_err *err)
{
	static const char *const devices[] = {"local-task", "local-sync", "vulkan", NULL};
	static const char one_of_vulkan[] = "vulkan://";
	const char *text = gt_arg_text(args, "device", "");
	if (strncmp(text, one_of_vulkan, sizeof one_of_vulkan - 1) != 0)
		return choose(args, "device", devices, target, err);
	free(*target);
	*target = gt_strdup(text);
	return GT_OK;
}

static gt_code parse_stage(const char *flag, const char *name, enum gt_stage_id *id,
                           struct gt_err *err)
{
	const char *names[GT_STAGE_COUNT + 1] = {0};
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
		names[s] = gt_stage(s)->name;
	size_t at;
	gt_code rc = gt_arg_choice(flag, name, names, &at, err);
	if (!rc)
		*id = (enum gt_stage_id)at;
	return rc;
}

// A list that took too much: say how it is ended.
static gt_code end_of_list(const char *flag, struct gt_err *err)
{
	struct gt_err what = *err;
	return gt_fail(err, what.code, "%s (put '--' behind the last value of '--%s')", what.text, flag);
}

static gt_code mark_stages(const struct gt_args *args, const char *flag, bool value,
                           struct gt_plan *plan, struct gt_err *err)
{
	const struct gt_names *list = gt_arg_list(args, flag);
	if (gt_arg_given(args, flag) && list->count == 0)
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s' needs at least one stage", flag);
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < list->count; i++) {
		enum gt_stage_id id = GT_SETUP;
		rc = parse_stage(flag, list->items[i], &id, err);
		if (!rc)
			plan->stages[id] = value;
		else if (i > 0) // probably a test's name
			rc = end_of_list(flag, err);
	}
	return rc;
}

static gt_code choose_stages(const struct gt_args *args, struct gt_plan *plan, struct gt_err *err)
{
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
		plan->stages[s] = !gt_arg_given(args, "stages");
	gt_code rc = mark_stages(args, "stages", true, plan, err);
	if (!rc)
		rc = mark_stages(args, "skip-stages", false, plan, err);
	if (!rc && gt_plan_next(plan, GT_SETUP) == GT_STAGE_COUNT)
		rc = gt_fail(err, GT_BAD_USAGE, "--skip-stages leaves no stage to run");
	return rc;
}

static gt_code set_limit(const char *text, struct gt_plan *plan, struct gt_err *err)
{
	double seconds;
	const char *value = text;
	char *name = NULL;
	gt_code rc = GT_OK;
	if (strchr(text, '='))
		rc = gt_arg_pair("timeout", text, &name, &value, err);
	if (!rc)
		rc = gt_arg_seconds("timeout", value, &seconds, err);
	if (!rc && seconds <= 0)
		rc = gt_fail(err, GT_BAD_USAGE, "flag '--timeout': a limit of 0 would end every stage");
	enum gt_stage_id first = GT_SETUP, last = GT_STAGE_COUNT - 1;
	if (!rc && name) {
		rc = parse_stage("timeout", name, &first, err);
		last = first;
	}
	for (enum gt_stage_id s = first; !rc && s <= last; s++)
		plan->limits_s[s] = seconds;
	free(name);
	return rc;
}

static gt_code set_limits(const struct gt_args *args, struct gt_plan *plan, struct gt_err *err)
{
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
		plan->limits_s[s] = gt_stage(s)->timeout_s;
	const struct gt_names *list = gt_arg_list(args, "timeout");
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < list->count; i++)
		rc = set_limit(list->items[i], plan, err);
	return rc;
}

static gt_code set_dims(const struct gt_args *args, struct gt_options *o, struct gt_err *err)
{
	const struct gt_names *list = gt_arg_list(args, "dim");
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < list->count; i++) {
		char *name = NULL;
		const char *value;
		int64_t size;
		rc = gt_arg_pair("dim", list->items[i], &name, &value, err);
		if (!rc)
			rc = gt_arg_integer("dim", value, 0, INT32_MAX, &size, err);
		if (!rc && json_object_set_new(o->dims, name, json_integer(size)) != 0)
			rc = gt_fail(err, GT_BAD_USAGE, "flag '--dim': the name in '%s' is not UTF-8",
			             list->items[i]);
		free(name);
	}
	return rc;
}

static void set_compile_args(const struct gt_args *args, struct gt_options *o)
{
	const struct gt_names *list = gt_arg_list(args, "iree-compile-args");
	for (size_t i = 0; i < list->count; i++) {
		const char *given = list->items[i];
		char *flag = gt_format("%s%s", given[0] == '-' ? "" : "--", given);
		gt_names_add(&o->compile_args, flag);
		free(flag);
	}
}

static gt_code set_tolerance(const struct gt_args *args, struct gt_options *o, struct gt_err *err)
{
	static const char *const nan_choices[] = {"equal", "fail", NULL};
	gt_code rc = GT_OK;
	if (gt_arg_given(args, "tolerance")) {
		const struct gt_names *values = gt_arg_list(args, "tolerance");
		rc = gt_arg_tolerance("tolerance", values, &o->tolerance.atol, &o->tolerance.rtol, err);
		if (rc && values->count > 1 && !gt_arg_is_number(values->items[values->count - 1]))
			rc = end_of_list("tolerance", err);
		o->tolerance.for_integers = true;
	}
	size_t at = 0;
	if (!rc)
		rc = gt_arg_choice("nan", gt_arg_text(args, "nan", "equal"), nan_choices, &at, err);
	o->tolerance.nan_equal = at == 0;
	return rc;
}

static gt_code set_reference(const struct gt_args *args, struct gt_options *o, struct gt_err *err)
{
	static const char *const choices[] = {"ort", "stored", NULL};
	const char *text = gt_arg_text(args, "reference", NULL);
	size_t at;
	if (!text)
		return GT_OK;
	gt_code rc = gt_arg_choice("reference", text, choices, &at, err);
	o->ort_reference = !rc && at == 0;
	o->stored_reference = !rc && at == 1;
	return rc;
}

static gt_code set_retries(const struct gt_args *args, struct gt_plan *plan, struct gt_err *err)
{
	const struct gt_names *list = gt_arg_list(args, "retries");
	gt_code rc = GT_OK;
	gt_retries_init(&plan->retries);
	for (size_t i = 0; !rc && i < list->count; i++)
		rc = gt_retries_set(&plan->retries, list->items[i], err);
	return rc;
}

// A process takes more than this before it does anything.
#define MIN_MEMORY ((uint64_t)1 << 20)

static gt_code set_memory(const struct gt_args *args, struct gt_plan *plan, struct gt_err *err)
{
	static const char *const choices[] = {"report", "fail", NULL};
	size_t at = 0;
	gt_code rc = gt_arg_choice("leak", gt_arg_text(args, "leak", "report"), choices, &at, err);
	plan->leak_fails = at == 1;
	const char *size = gt_arg_text(args, "memory", NULL);
	if (!rc && size)
		rc = gt_arg_size("memory", size, &plan->memory, err);
	if (!rc && size && plan->memory < MIN_MEMORY)
		rc = gt_fail(err, GT_BAD_USAGE, "flag '--memory': '%s' is less than any job needs; give it "
		             "1M or more", size);
	return rc;
}

// Backends, and how the names of the devices begin for which they make modules; NULL: of no device that this
// runtime has.
static const struct {
	const char *backend, *devices, *advice;
} targets[] = {
	{"llvm-cpu", "local-", "local-task"},
	{"vmvx", "local-", "local-task"},
	{"vulkan-spirv", "vulkan", "vulkan"},
	{"cuda", NULL, NULL},
	{"rocm", NULL, NULL},
	{"metal-spirv", NULL, NULL},
};

// What cannot fit is refused before hours of compiling. Whoever gives the compiler a target of their own
// knows better.
static gt_code check_target(const struct gt_options *o, const struct gt_plan *plan, struct gt_err *err)
{
	bool own = false;
	for (size_t i = 0; i < o->compile_args.count; i++)
		own = own || strstr(o->compile_args.items[i], "iree-hal-target");
	for (size_t i = 0; i < GT_COUNTOF(targets) && plan->stages[GT_COMPILED_INFERENCE] && !own; i++) {
		const char *devices = targets[i].devices;
		if (strcmp(targets[i].backend, o->backend) != 0)
			continue;
		if (!devices)
			return gt_fail(err, GT_BAD_USAGE,
			               "backend '%s' makes modules for devices that this runtime does not have: "
			               "say --skip-stages compiled_inference postprocessing comparison, or name "
			               "another backend with -b", o->backend);
		if (strncmp(o->device, devices, strlen(devices)) != 0)
			return gt_fail(err, GT_BAD_USAGE,
			               "backend '%s' makes no modules for device '%s': say -d %s, or name another "
			               "backend with -b", o->backend, o->device, targets[i].advice);
	}
	return GT_OK;
}

gt_code gt_settings_make(const struct gt_args *args, struct gt_options *options,
                         struct gt_plan *plan, struct gt_err *err)
{
	static const char *const modes[] = {"onnx-iree", NULL};
	static const char *const backends[] = {"llvm-cpu", "vmvx", "vulkan-spirv", "cuda", "rocm",
	                                       "metal-spirv", NULL};
	int64_t seed = 0;
	gt_options_init(options);
	*plan = (struct gt_plan){.options = options};
	gt_code rc = choose(args, "mode", modes, &options->mode, err);
	if (!rc)
		rc = choose_device(args, &options->device, err);
	if (!rc)
		rc = choose(args, "backend", backends, &options->backend, err);
	if (!rc)
		rc = choose_stages(args, plan, err);
	if (!rc)
		rc = set_limits(args, plan, err);
	if (!rc)
		rc = set_memory(args, plan, err);
	if (!rc)
		rc = set_retries(args, plan, err);
	if (!rc)
		rc = set_dims(args, options, err);
	if (!rc)
		rc = set_tolerance(args, options, err);
	if (!rc)
		rc = set_reference(args, options, err);
	if (!rc)
		rc = gt_arg_integer("seed", gt_arg_text(args, "seed", "0"), 0, INT64_MAX, &seed, err);
	options->seed = (uint64_t)seed;
	options->torch_to_linalg = gt_arg_given(args, "torchtolinalg");
	options->load_inputs = gt_arg_given(args, "load-inputs");
	set_compile_args(args, options);
	return rc ? rc : check_target(options, plan, err);
}
