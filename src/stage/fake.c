#include "stage/fake.h"

#include "worker/fault.h"

#include <stdlib.h>
#include <string.h>

// How often has this stage of this test been tried? Counted by the length of a file.
static size_t count_attempt(const struct gt_stage_context *c, const char *stage)
{
	char *name = gt_format("attempts.%s", stage);
	char *path = gt_path_join(c->folder, name);
	struct gt_buf marks = {0};
	(void)!gt_file_read(path, 1 << 16, &marks, NULL);
	gt_buf_puts(&marks, "x");
	(void)!gt_file_write(path, marks.data, marks.length, NULL);
	size_t count = marks.length;
	gt_buf_free(&marks);
	free(path);
	free(name);
	return count;
}

// The order for this attempt, allocated; "pass" if there is none.
static gt_code find_order(const struct gt_stage_context *c, const char *stage, char **order,
                          struct gt_err *err)
{
	json_t *tests = NULL;
	gt_code rc = gt_json_read(c->test->model, &tests, err);
	const json_t *test = json_object_get(tests, c->test->name);
	const char *text = gt_json_string_or(test, stage, "pass");
	size_t digits = strspn(text, "0123456789");
	if (digits && text[digits] == '*')
		text = count_attempt(c, stage) <= (size_t)atol(text) ? text + digits + 1 : "pass";
	*order = gt_strdup(text);
	json_decref(tests);
	return rc;
}

static gt_code save_value(struct gt_stage_context *c, const char *stem, float value,
                          struct gt_err *err)
{
	struct gt_values values = {0};
	struct gt_value *v = gt_values_add(&values, "y");
	gt_code rc = gt_tensor_init(&v->tensor, GT_FLOAT32, 0, NULL, err);
	if (!rc) {
		memcpy(v->tensor.data, &value, sizeof value);
		rc = gt_stage_save(c, 0, stem, &values, err);
	}
	gt_values_free(&values);
	return rc;
}

static gt_code save_text(struct gt_stage_context *c, const char *name, struct gt_err *err)
{
	static const char text[] = "{\"format\":1,\"function\":\"fake\"}\n";
	char *path = gt_path_join(c->folder, name);
	gt_code rc = gt_file_write(path, text, sizeof text - 1, err);
	if (!rc)
		gt_names_add(&c->written, name);
	free(path);
	return rc;
}

static gt_code save_files(struct gt_stage_context *c, enum gt_stage_id stage, bool wrong,
                          struct gt_err *err)
{
	switch (stage) {
	case GT_SETUP:
		return save_text(c, "model.onnx", err);
	case GT_IMPORT_MODEL: {
		gt_code rc = save_text(c, "model.torch_onnx.mlir", err);
		return rc ? rc : save_text(c, "import.json", err);
	}
	case GT_PREPROCESSING: {
		gt_code rc = save_text(c, "model.torch.mlir", err);
		return rc ? rc : save_text(c, "model.modified.mlir", err);
	}
	case GT_COMPILATION:
		return save_text(c, "compiled_model.vmfb", err);
	case GT_CONSTRUCT_INPUTS:
		return save_value(c, "input", 1, err);
	case GT_NATIVE_INFERENCE:
		return save_value(c, "golden_output", 1, err);
	case GT_COMPILED_INFERENCE:
		return save_value(c, "output", wrong ? 2 : 1, err);
	case GT_COMPARISON:
		return gt_stage_comparison(c, err);
	default:
		return GT_OK;
	}
}

gt_code gt_stage_fake(struct gt_stage_context *c, enum gt_stage_id stage, struct gt_err *err)
{
	char *order = NULL;
	gt_code rc = find_order(c, gt_stage(stage)->name, &order, err);
	bool wrong = strcmp(order, "wrong") == 0;
	if (!rc && strncmp(order, "error", 5) == 0)
		rc = gt_fail(err, GT_ENGINE, "%s", order[5] == ':' ? order + 6 : "the fake engine says no");
	else if (!rc && strcmp(order, "unsupported") == 0)
		rc = gt_fail(err, GT_UNSUPPORTED, "the fake engine cannot do this");
	else if (!rc && !wrong && !gt_fault(order))
		rc = gt_fail(err, GT_BAD_USAGE, "there is no fault '%s'", order);
	if (!rc)
		rc = save_files(c, stage, wrong, err);
	free(order);
	return rc;
}
