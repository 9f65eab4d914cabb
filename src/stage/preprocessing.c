// preprocessing: nothing, or with --torchtolinalg torch-mlir's two pipelines before compilation.
#include "stage/stage.h"

#include <stdlib.h>

#define MAX_MLIR_BYTES ((size_t)4 << 30)

// alt_e2eshark's pipelines. The text stands for itself: anchored on the module already, so it must
// not be wrapped in builtin.module(...), or it would run on nothing.
static const struct {
	const char *pipeline, *writes;
} steps[] = {
	{"torch-onnx-to-torch-backend-pipeline"
	 "{backend-legal-ops=aten.flatten.using_ints,aten.unflatten.int}",
	 "model.torch.mlir"},
	{"torch-backend-to-linalg-on-tensors-backend-pipeline", "model.modified.mlir"},
};

gt_code gt_stage_preprocessing(struct gt_stage_context *c, struct gt_err *err)
{
	if (!c->options->torch_to_linalg)
		return GT_OK;
	struct gt_buf text = {0};
	char *source = gt_path_join(c->folder, "model.torch_onnx.mlir");
	gt_code rc = gt_file_read(source, MAX_MLIR_BYTES, &text, err);
	for (size_t i = 0; !rc && i < GT_COUNTOF(steps); i++) {
		struct gt_buf result = {0};
		char *to = gt_path_join(c->folder, steps[i].writes);
		rc = c->engine->compiler->transform(source, gt_buf_text(&text), text.length,
		                                    steps[i].pipeline, &result, err);
		if (!rc)
			rc = gt_file_write(to, result.data, result.length, err);
		if (!rc)
			gt_names_add(&c->written, steps[i].writes);
		gt_buf_free(&text);
		text = result;
		free(to);
	}
	gt_buf_free(&text);
	free(source);
	return rc;
}
