// native_inference: the golden outputs, stored with the test or made by the reference engine.
#include "stage/stage.h"

#include "tensor/onnx.h"

#include <stdlib.h>

// Path of stored output `i` of a set, allocated; NULL past the last one.
static char *stored_path(const struct gt_case *test, size_t set, size_t i)
{
	if (test->kind == GT_CASE_LIGHT)
		return i < test->outputs.count ? gt_strdup(test->outputs.items[i]) : NULL;
	char *path = gt_format("%s/output_%zu.pb", test->sets.items[set], i);
	if (gt_is_file(path))
		return path;
	free(path);
	return NULL;
}

static gt_code read_stored(const struct gt_stage_context *c, const struct gt_onnx_model *model,
                           size_t set, struct gt_values *gold, struct gt_err *err)
{
	char *path;
	for (size_t i = 0; (path = stored_path(c->test, set, i)); i++) {
		enum gt_kind kind = i < model->output_count ? model->outputs[i].kind : GT_KIND_TENSOR;
		const char *name = i < model->output_count ? model->outputs[i].name : "";
		struct gt_value *value = gt_values_add(gold, name);
		gt_code rc = gt_onnx_read_value(path, kind, value, err);
		free(path);
		if (rc)
			return gt_err_context(err, "stored output %zu '%s'", i, name);
		free(value->name);
		value->name = gt_strdup(name);
	}
	if (gold->count == 0)
		return gt_fail(err, GT_BAD_DATA, "no outputs are stored with this test");
	return GT_OK;
}

static gt_code compute(const struct gt_stage_context *c, const char *folder,
                       struct gt_values *gold, struct gt_err *err)
{
	struct gt_values inputs = {0};
	gt_code rc = gt_values_load(folder, "input", &inputs, err);
	if (!rc)
		rc = c->engine->runner->call(&inputs, gold, err);
	gt_values_free(&inputs);
	return rc;
}

static gt_code make_gold(struct gt_stage_context *c, const struct gt_onnx_model *model, bool stored,
                         size_t set, struct gt_err *err)
{
	struct gt_values gold = {0};
	char *folder = gt_stage_set_folder(c, set);
	gt_code rc = stored ? read_stored(c, model, set, &gold, err) : compute(c, folder, &gold, err);
	if (!rc)
		rc = gt_stage_save(c, set, "golden_output", &gold, err);
	free(folder);
	gt_values_free(&gold);
	return gt_stage_set_failed(c, set, rc, err);
}

gt_code gt_stage_native_inference(struct gt_stage_context *c, struct gt_err *err)
{
	bool stored = gt_case_uses_stored_gold(c->test, c->options->stored_reference,
	                                       c->options->ort_reference);
	if (stored && !gt_case_has_golden(c->test))
		return gt_fail(err, GT_BAD_USAGE,
		               "--reference=stored, but no outputs are stored with this test");
	struct gt_onnx_model model = {0};
	char *path = gt_path_join(c->folder, "model.onnx");
	gt_json_set(c->detail, "source", json_string(stored ? "stored" : "onnxruntime"));
	gt_code rc = stored ? gt_onnx_read_model(path, &model, err)
	                    : c->engine->runner->open(path, "", "", err);
	for (size_t set = 0; !rc && set < gt_stage_set_count(c->test); set++)
		rc = make_gold(c, &model, stored, set, err);
	gt_onnx_model_free(&model);
	free(path);
	return rc;
}
