// construct_inputs: stored inputs where the test has some, else generated ones.
#include "stage/stage.h"
#include "stage/stored.h"

#include "tensor/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Is `name` that of a dynamic dimension of the model, or its place as "input[axis]"?
static bool is_dimension(const struct gt_onnx_model *model, const char *name)
{
	bool found = false;
	for (size_t i = 0; !found && i < model->input_count; i++) {
		const struct gt_onnx_port *port = &model->inputs[i];
		for (uint32_t axis = 0; !found && axis < port->rank; axis++) {
			char *place = gt_format("%s[%u]", port->name, axis);
			const char *own = port->dims[axis].name;
			found = port->dims[axis].value < 0 &&
			        (strcmp(place, name) == 0 || (own && strcmp(own, name) == 0));
			free(place);
		}
	}
	return found;
}

// What --dim names and this model does not have. No failure by itself: other tests of the run may
// be meant. It is in the record and in the log, and in the sentence where a size is missing.
static json_t *unused_dims(const struct gt_options *o, const struct gt_onnx_model *model)
{
	json_t *unused = json_array();
	const char *name;
	json_t *size;
	json_object_foreach(o->dims, name, size)
		if (!is_dimension(model, name))
			json_array_append_new(unused, json_string(name));
	return unused;
}

static void note_unused(struct gt_stage_context *c, const struct gt_onnx_model *model)
{
	json_t *unused = unused_dims(c->options, model);
	for (size_t i = 0; i < json_array_size(unused); i++)
		fprintf(stderr, "note: --dim '%s' fits no dynamic dimension of this model\n",
		        json_string_value(json_array_get(unused, i)));
	if (json_array_size(unused))
		gt_json_set(c->detail, "unused_dims", json_incref(unused));
	json_decref(unused);
}

// A size that is missing was perhaps given under a wrong name.
static void mention_unused(const struct gt_stage_context *c, struct gt_err *err)
{
	const json_t *unused = json_object_get(c->detail, "unused_dims");
	struct gt_buf names = {0};
	for (size_t i = 0; i < json_array_size(unused); i++)
		gt_buf_printf(&names, "%s'%s'", i ? ", " : "", json_string_value(json_array_get(unused, i)));
	if (names.length) {
		struct gt_err what = *err;
		gt_fail(err, what.code, "%s; of what --dim gave, this model does not have %s", what.text,
		        gt_buf_text(&names));
	}
	gt_buf_free(&names);
}

// Size of a dimension that the model leaves open: --dim by its name, or by "input[axis]".
static gt_code open_dimension(const struct gt_stage_context *c, const struct gt_onnx_port *port,
                              uint32_t axis, int64_t *size, struct gt_err *err)
{
	const struct gt_options *o = c->options;
	char *place = gt_format("%s[%u]", port->name, axis);
	const char *name = port->dims[axis].name ? port->dims[axis].name : place;
	const json_t *given = json_object_get(o->dims, place);
	if (!given)
		given = json_object_get(o->dims, name);
	gt_code rc = GT_OK;
	if (json_is_integer(given)) {
		*size = json_integer_value(given);
	} else {
		rc = gt_fail(err, GT_BAD_USAGE,
		             "dimension %u of input '%s' is dynamic: give its size with --dim '%s=SIZE'",
		             axis, port->name, name);
		mention_unused(c, err);
	}
	free(place);
	return rc;
}

static gt_code shape_of(const struct gt_stage_context *c, const struct gt_onnx_port *port,
                        int64_t dims[GT_MAX_RANK], struct gt_err *err)
{
	if (port->kind != GT_KIND_TENSOR)
		return gt_fail(err, GT_UNSUPPORTED, "input '%s' is a %s; only tensors can be generated",
		               port->name, gt_kind_name(port->kind));
	if (!port->has_shape)
		return gt_fail(err, GT_BAD_DATA, "the model gives no shape for input '%s'", port->name);
	if (port->rank > GT_MAX_RANK)
		return gt_fail(err, GT_BAD_DATA, "input '%s' has rank %u", port->name, port->rank);
	gt_code rc = GT_OK;
	for (uint32_t i = 0; !rc && i < port->rank; i++) {
		dims[i] = port->dims[i].value;
		if (dims[i] < 0)
			rc = open_dimension(c, port, i, &dims[i], err);
	}
	return rc;
}

// The light tests come without inputs; ONNX's own runner feeds 0, 1/n, 2/n, ... as float.
static void fill_ramp(struct gt_tensor *t)
{
	float *out = t->data;
	for (size_t i = 0; i < t->count; i++)
		out[i] = (float)((double)i / (double)t->count);
}

static gt_code generate(const struct gt_stage_context *c, const struct gt_onnx_model *model,
                        struct gt_values *inputs, struct gt_err *err)
{
	for (size_t i = 0; i < model->input_count; i++) {
		const struct gt_onnx_port *port = &model->inputs[i];
		int64_t dims[GT_MAX_RANK];
		gt_code rc = shape_of(c, port, dims, err);
		struct gt_value *value = gt_values_add(inputs, port->name);
		if (!rc)
			rc = gt_tensor_init(&value->tensor, port->type, port->rank, dims, err);
		if (!rc && c->test->kind == GT_CASE_LIGHT && port->type == GT_FLOAT32)
			fill_ramp(&value->tensor);
		else if (!rc)
			rc = gt_generate(&value->tensor, c->options->seed, c->test->name, port->name, err);
		if (rc)
			return rc;
	}
	return GT_OK;
}

// --load-inputs: what an earlier run left is taken as it is, if it is whole.
static gt_code keep_inputs(struct gt_stage_context *c, size_t set, struct gt_err *err)
{
	struct gt_values inputs = {0};
	struct gt_names files = {0};
	char *folder = gt_stage_set_folder(c, set);
	gt_code rc = gt_values_load(folder, "input", &inputs, err);
	for (size_t i = 0; !rc && i < inputs.count; i++) {
		char name[40];
		snprintf(name, sizeof name, "input.%zu.bin", i);
		gt_names_add(&files, name);
	}
	gt_names_add(&files, "input.json");
	if (!rc)
		gt_stage_wrote(c, set, &files);
	else
		gt_err_context(err, "--load-inputs, data set %zu", set);
	free(folder);
	gt_names_free(&files);
	gt_values_free(&inputs);
	return rc;
}

static gt_code make_inputs(struct gt_stage_context *c, const struct gt_stored *stored, size_t set,
                           struct gt_err *err)
{
	struct gt_values inputs = {0};
	gt_code rc = c->test->sets.count
	                 ? gt_stored_inputs(stored, c->test->sets.items[set], &inputs, err)
	                 : generate(c, stored->model, &inputs, err);
	if (!rc)
		rc = gt_stage_save(c, set, "input", &inputs, err);
	gt_values_free(&inputs);
	return gt_stage_set_failed(c, set, rc, err);
}

gt_code gt_stage_construct_inputs(struct gt_stage_context *c, struct gt_err *err)
{
	struct gt_onnx_model model = {0};
	char *path = gt_path_join(c->folder, "model.onnx");
	struct gt_stored stored = {path, &model, json_array()};
	size_t sets = gt_stage_set_count(c->test);
	bool load = c->options->load_inputs, generated = !load && c->test->sets.count == 0;
	gt_json_set(c->detail, "source", json_string(load        ? "an earlier run"
	                                             : generated ? "generated"
	                                                         : "stored"));
	gt_code rc = load ? GT_OK : gt_onnx_read_model(path, &model, err);
	if (!rc && generated)
		note_unused(c, &model);
	if (!load && !generated)
		gt_json_set(c->detail, "sources", json_incref(stored.sources));
	for (size_t set = 0; !rc && set < sets; set++)
		rc = load ? keep_inputs(c, set, err) : make_inputs(c, &stored, set, err);
	json_decref(stored.sources);
	gt_onnx_model_free(&model);
	free(path);
	return rc;
}
