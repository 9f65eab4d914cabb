// construct_inputs: stored inputs where the test has some, else generated ones.
#include "stage/stage.h"

#include "tensor/generate.h"
#include "tensor/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_input(const char *folder, size_t i)
{
	char *path = gt_format("%s/input_%zu.pb", folder, i);
	bool there = gt_is_file(path);
	free(path);
	return there;
}

// The inputs of one stored data set: input_0.pb, input_1.pb, ... bound by position.
static gt_code read_stored(const struct gt_onnx_model *model, const char *folder,
                           struct gt_values *inputs, struct gt_err *err)
{
	size_t count = 0; // trailing inputs with defaults may be left out
	for (size_t i = 0; i <= model->input_count; i++)
		if (has_input(folder, i))
			count = i + 1;
	if (count > model->input_count)
		return gt_fail(err, GT_BAD_DATA, "the data set has more inputs than the model's %zu",
		               model->input_count);
	for (size_t i = 0; i < count; i++) {
		const struct gt_onnx_port *port = &model->inputs[i];
		char *path = gt_format("%s/input_%zu.pb", folder, i);
		struct gt_value *value = gt_values_add(inputs, port->name);
		gt_code rc = gt_onnx_read_value(path, port->kind, value, err);
		free(path);
		if (rc)
			return gt_err_context(err, "input %zu '%s'", i, port->name);
		free(value->name); // the graph's name counts, not the one stored with the data
		value->name = gt_strdup(port->name);
	}
	return GT_OK;
}

// Size of a dimension that the model leaves open: --dim by its name, or by "input[axis]".
static gt_code open_dimension(const struct gt_options *o, const struct gt_onnx_port *port,
                              uint32_t axis, int64_t *size, struct gt_err *err)
{
	char *place = gt_format("%s[%u]", port->name, axis);
	const char *name = port->dims[axis].name ? port->dims[axis].name : place;
	const json_t *given = json_object_get(o->dims, place);
	if (!given)
		given = json_object_get(o->dims, name);
	gt_code rc = GT_OK;
	if (json_is_integer(given))
		*size = json_integer_value(given);
	else
		rc = gt_fail(err, GT_BAD_USAGE,
		             "dimension %u of input '%s' is dynamic: give its size with --dim '%s=SIZE'",
		             axis, port->name, name);
	free(place);
	return rc;
}

static gt_code shape_of(const struct gt_options *o, const struct gt_onnx_port *port,
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
			rc = open_dimension(o, port, i, &dims[i], err);
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
		gt_code rc = shape_of(c->options, port, dims, err);
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

static gt_code make_inputs(struct gt_stage_context *c, const struct gt_onnx_model *model,
                           size_t set, struct gt_err *err)
{
	struct gt_values inputs = {0};
	gt_code rc = c->test->sets.count ? read_stored(model, c->test->sets.items[set], &inputs, err)
	                                 : generate(c, model, &inputs, err);
	if (!rc)
		rc = gt_stage_save(c, set, "input", &inputs, err);
	gt_values_free(&inputs);
	return gt_stage_set_failed(c, set, rc, err);
}

gt_code gt_stage_construct_inputs(struct gt_stage_context *c, struct gt_err *err)
{
	struct gt_onnx_model model = {0};
	char *path = gt_path_join(c->folder, "model.onnx");
	size_t sets = gt_stage_set_count(c->test);
	const char *source = c->options->load_inputs ? "an earlier run"
	                     : c->test->sets.count   ? "stored"
	                                             : "generated";
	gt_json_set(c->detail, "source", json_string(source));
	gt_code rc = GT_OK;
	if (!c->options->load_inputs)
		rc = gt_onnx_read_model(path, &model, err);
	for (size_t set = 0; !rc && set < sets; set++)
		rc = c->options->load_inputs ? keep_inputs(c, set, err) : make_inputs(c, &model, set, err);
	gt_onnx_model_free(&model);
	free(path);
	return rc;
}
