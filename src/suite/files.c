// The files that a case is made of.
#include "suite/suite.h"

#include "tensor/onnx.h"

#include <stdlib.h>
#include <string.h>

// Files of a folder whose names end so.
static void add_folder(struct gt_names *out, const char *folder, const char *suffix)
{
	struct gt_names names = {0};
	(void)!gt_list_folder(folder, &names, NULL);
	for (size_t i = 0; i < names.count; i++) {
		size_t n = strlen(names.items[i]), end = strlen(suffix);
		if (n < end || strcmp(names.items[i] + n - end, suffix) != 0)
			continue;
		char *path = gt_path_join(folder, names.items[i]);
		gt_names_add(out, path);
		free(path);
	}
	gt_names_free(&names);
}

// Of a model that cannot be read there is no more than itself: setup says why.
static void add_external(struct gt_names *out, const char *model, const char *folder)
{
	struct gt_onnx_model face = {0};
	if (gt_onnx_read_model(model, &face, NULL))
		return;
	for (size_t i = 0; i < face.external.count; i++) {
		char *path = gt_path_join(folder, face.external.items[i]);
		if (gt_path_stays_below(face.external.items[i]))
			gt_names_add(out, path);
		free(path);
	}
	gt_onnx_model_free(&face);
}

void gt_suite_files(const struct gt_case *test, struct gt_names *out)
{
	const char *slash = strrchr(test->model, '/');
	char *folder = slash ? gt_strndup(test->model, (size_t)(slash - test->model) + 1)
	                     : gt_strdup(".");
	gt_names_add(out, test->model);
	if (test->kind == GT_CASE_PYTHON)
		add_folder(out, folder, ".py");
	else if (test->kind != GT_CASE_FAKE)
		add_external(out, test->model, folder);
	for (size_t i = 0; i < test->sets.count; i++)
		add_folder(out, test->sets.items[i], "");
	for (size_t i = 0; i < test->outputs.count; i++)
		gt_names_add(out, test->outputs.items[i]);
	free(folder);
}
