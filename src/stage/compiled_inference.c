// compiled_inference: the compiled module on the device, with the constructed inputs.
#include "stage/stage.h"

#include <stdlib.h>

static gt_code run_set(struct gt_stage_context *c, size_t set, struct gt_err *err)
{
	struct gt_values inputs = {0}, outputs = {0};
	char *folder = gt_stage_set_folder(c, set);
	gt_code rc = gt_values_load(folder, "input", &inputs, err);
	if (!rc)
		rc = c->engine->runner->call(&inputs, &outputs, err);
	if (!rc)
		rc = gt_stage_save(c, set, "output", &outputs, err);
	free(folder);
	gt_values_free(&outputs);
	gt_values_free(&inputs);
	return gt_stage_set_failed(c, set, rc, err);
}

gt_code gt_stage_compiled_inference(struct gt_stage_context *c, struct gt_err *err)
{
	json_t *import = NULL;
	const char *function = NULL;
	char *import_path = gt_path_join(c->folder, "import.json");
	char *module = gt_path_join(c->folder, "compiled_model.vmfb");
	gt_code rc = gt_json_read(import_path, &import, err);
	if (!rc)
		rc = gt_json_check_format(import, 1, import_path, err);
	if (!rc)
		rc = gt_json_string(import, "function", &function, err);
	if (!rc)
		rc = c->engine->runner->open(module, function, c->options->device, err);
	for (size_t set = 0; !rc && set < gt_stage_set_count(c->test); set++)
		rc = run_set(c, set, err);
	json_decref(import);
	free(module);
	free(import_path);
	return rc;
}
