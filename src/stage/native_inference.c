// native_inference: the golden outputs, stored with the test or made by the reference engine.
#include "stage/stage.h"
#include "stage/stored.h"

#include <stdlib.h>

static gt_code read_stored(const struct gt_stage_context *c, const struct gt_stored *stored,
                           size_t set, struct gt_values *gold, struct gt_err *err)
{
	if (c->test->kind == GT_CASE_LIGHT)
		return gt_stored_outputs(stored, NULL, &c->test->outputs, gold, err);
	return gt_stored_outputs(stored, c->test->sets.items[set], NULL, gold, err);
}

// Are some golden outputs stored, though not those of every set from the first on? To compute them
// all would hide that the test is not whole.
static gt_code find_some(const struct gt_case *test, bool *some, struct gt_err *err)
{
	gt_code rc = GT_OK;
	*some = false;
	for (size_t i = 0; !rc && i < test->sets.count; i++) {
		size_t count;
		rc = gt_stored_count(test->sets.items[i], "output", &count, err);
		*some = *some || count > 0;
	}
	return rc;
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

// `stored` is NULL where ONNX Runtime computes them.
static gt_code make_gold(struct gt_stage_context *c, const struct gt_stored *stored, size_t set,
                         struct gt_err *err)
{
	struct gt_values gold = {0};
	char *folder = gt_stage_set_folder(c, set);
	gt_code rc = stored ? read_stored(c, stored, set, &gold, err) : compute(c, folder, &gold, err);
	if (!rc)
		rc = gt_stage_save(c, set, "golden_output", &gold, err);
	free(folder);
	gt_values_free(&gold);
	return gt_stage_set_failed(c, set, rc, err);
}

gt_code gt_stage_native_inference(struct gt_stage_context *c, struct gt_err *err)
{
	const struct gt_options *o = c->options;
	bool stored = gt_case_uses_stored_gold(c->test, o->stored_reference, o->ort_reference);
	bool whole = gt_case_has_golden(c->test), some = whole;
	gt_code rc = whole || o->ort_reference ? GT_OK : find_some(c->test, &some, err);
	if (rc)
		return rc;
	if (stored && !some)
		return gt_fail(err, GT_BAD_USAGE,
		               "--reference=stored, but no outputs are stored with this test");
	stored = stored || (some && !o->ort_reference);
	struct gt_onnx_model model = {0};
	char *path = gt_path_join(c->folder, "model.onnx");
	struct gt_stored from = {path, &model, json_array()};
	gt_json_set(c->detail, "source", json_string(stored ? "stored" : "onnxruntime"));
	if (stored)
		gt_json_set(c->detail, "sources", json_incref(from.sources));
	rc = stored ? gt_onnx_read_model(path, &model, err) : c->engine->runner->open(path, "", "", err);
	for (size_t set = 0; !rc && set < gt_stage_set_count(c->test); set++)
		rc = make_gold(c, stored ? &from : NULL, set, err);
	json_decref(from.sources);
	gt_onnx_model_free(&model);
	free(path);
	return rc;
}
