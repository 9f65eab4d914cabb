// setup: bring the model, with the files it refers to, into the test's own folder.
#include "stage/stage.h"

#include "tensor/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Does the pattern, in which '*' stands for any text, match the first `n` bytes of `name`?
static bool matches(const char *pattern, size_t length, const char *name, size_t n)
{
	const char *star = memchr(pattern, '*', length);
	size_t head = star ? (size_t)(star - pattern) : length;
	size_t tail = star ? length - head - 1 : 0;
	if (star ? n < head + tail : n != length)
		return false;
	return memcmp(pattern, name, head) == 0 &&
	       memcmp(pattern + length - tail, name + n - tail, tail) == 0;
}

// Is this where a stage or the runner writes? External data of that name would be overwritten, or
// would be taken for what it is not.
static bool is_our_name(const char *location)
{
	while (location[0] == '/' || (location[0] == '.' && location[1] == '/'))
		location++;
	static const char others[] = "test.json stages.json benchmark.json *.log data_set_*";
	size_t n = strcspn(location, "/");
	for (int id = -1; id < (int)GT_STAGE_COUNT; id++) {
		const char *p = id < 0 ? others : gt_stage((enum gt_stage_id)id)->writes;
		for (size_t length; *p; p += length + (p[length] == ' ')) {
			length = strcspn(p, " ");
			if (matches(p, strcspn(p, " /"), location, n))
				return true;
		}
	}
	return false;
}

static gt_code fail_outside(const char *location, struct gt_err *err)
{
	return gt_fail(err, GT_BAD_DATA, "external data '%s' lies outside the folder of the model",
	               location);
}

// Also when links are followed: a folder on the way may be one.
static bool is_below(const char *folder, const char *path)
{
	char *top = realpath(folder, NULL), *real = realpath(path, NULL);
	size_t n = top ? strlen(top) : 0;
	bool below = top && real && strncmp(real, top, n) == 0 &&
	             (real[n] == '/' || (n && top[n - 1] == '/'));
	free(top);
	free(real);
	return below;
}

// A model names its external data, and a model is not trusted: a plain file below the model's own
// folder, with one name only, or nothing.
static gt_code check_external(const char *folder, const char *path, const char *location,
                              struct gt_err *err)
{
	if (!gt_path_stays_below(location))
		return fail_outside(location, err);
	if (is_our_name(location))
		return gt_fail(err, GT_UNSUPPORTED,
		               "external data '%s' has the name of a file of the test's folder; rename "
		               "it, and its location in the model", location);
	struct stat st;
	if (lstat(path, &st) != 0)
		return gt_stage_source_failed(
			gt_fail_errno(err, "external data '%s' of the model cannot be read", location), err);
	if (!S_ISREG(st.st_mode))
		return gt_fail(err, GT_BAD_DATA, "external data '%s' is not a regular file", location);
	return is_below(folder, path) ? GT_OK : fail_outside(location, err);
}

static gt_code copy_external(struct gt_stage_context *c, const char *location, struct gt_err *err)
{
	const char *slash = strrchr(c->test->model, '/');
	char *folder = gt_strndup(c->test->model, slash ? (size_t)(slash - c->test->model) : 0);
	char *from = gt_path_join(folder, location);
	char *to = gt_path_join(c->folder, location);
	gt_code rc = check_external(*folder ? folder : "/", from, location, err);
	const char *last = strrchr(location, '/');
	if (!rc && last) {
		char *below = gt_strndup(location, (size_t)(last - location));
		rc = gt_stage_make_folder(c, below, err);
		free(below);
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
	gt_code rc = gt_stage_source_failed(gt_onnx_read_model(c->test->model, &model, err), err);
	if (rc)
		gt_err_context(err, "the model cannot be read");
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
