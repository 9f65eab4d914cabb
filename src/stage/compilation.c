// compilation: MLIR to a module for the device.
#include "stage/stage.h"

#include <stdlib.h>

#define MAX_MLIR_BYTES ((size_t)4 << 30)

static json_t *names_to_json(const struct gt_names *names)
{
	json_t *list = json_array();
	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(list, gt_json_text(names->items[i]));
	return list;
}

gt_code gt_stage_compilation(struct gt_stage_context *c, struct gt_err *err)
{
	const char *source_name =
		c->options->torch_to_linalg ? "model.modified.mlir" : "model.torch_onnx.mlir";
	struct gt_buf text = {0};
	struct gt_names flags = {0};
	char *source = gt_path_join(c->folder, source_name);
	char *module = gt_path_join(c->folder, "compiled_model.vmfb");
	gt_options_compile_flags(c->options, &flags);
	gt_json_set(c->detail, "flags", names_to_json(&flags));

	gt_code rc = gt_file_read(source, MAX_MLIR_BYTES, &text, err);
	if (!rc)
		rc = c->engine->compiler->compile(source_name, gt_buf_text(&text), text.length, &flags,
		                                  module, err);
	if (!rc)
		gt_names_add(&c->written, "compiled_model.vmfb");
	free(module);
	free(source);
	gt_names_free(&flags);
	gt_buf_free(&text);
	return rc;
}
