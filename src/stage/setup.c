// setup: bring the model, with the files it refers to, into the test's own folder.
#include "stage/stage.h"

#include "tensor/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A model names its external data, and a model is not trusted: a plain file below the model's own
// folder, with one name only, or nothing.
static gt_code check_external(const char *path, const char *location, struct gt_err *err)
{
	if (!gt_onnx_location_is_safe(location))
		return gt_fail(err, GT_BAD_DATA,
		               "external data '%s' lies outside the folder of the model", location);
	struct stat st;
	if (lstat(path, &st) != 0)
		return gt_fail_errno(err, "external data '%s' of the model cannot be read", location);
	if (!S_ISREG(st.st_mode))
		return gt_fail(err, GT_BAD_DATA, "external data '%s' is not a regular file", location);
	return GT_OK;
}

static gt_code copy_external(struct gt_stage_context *c, const char *location, struct gt_err *err)
{
	const char *slash = strrchr(c->test->model, '/');
	char *folder = gt_strndup(c->test->model, slash ? (size_t)(slash - c->test->model) : 0);
	char *from = gt_path_join(folder, location);
	char *to = gt_path_join(c->folder, location);
	gt_code rc = check_external(from, location, err);
	char *last = strrchr(to, '/');
	if (!rc) {
		*last = '\0';
		rc = gt_make_folders(to, err);
		*last = '/';
	}
	if (!rc)
		rc = gt_file_copy(from, to, err);
	if (!rc)
		gt_names_add(&c->written, location);
	free(to);
	free(from);
	free(folder);
	return rc;
}

gt_code gt_stage_setup(struct gt_stage_context *c, struct gt_err *err)
{
	struct gt_onnx_model model = {0};
	char *to = gt_path_join(c->folder, "model.onnx");
	gt_code rc = gt_onnx_read_model(c->test->model, &model, err);
	if (!rc)
		rc = gt_file_copy(c->test->model, to, err);
	if (!rc)
		gt_names_add(&c->written, "model.onnx");
	for (size_t i = 0; !rc && i < model.external.count; i++)
		rc = copy_external(c, model.external.items[i], err);
	if (!rc) {
		gt_json_set(c->detail, "nodes", json_integer((json_int_t)model.node_count));
		gt_json_set(c->detail, "opset", json_integer(model.opset));
	}
	free(to);
	gt_onnx_model_free(&model);
	return rc;
}
