// The files that a case is made of.
#include "suite/suite.h"

#include <stdlib.h>
#include <string.h>

// Files of a folder whose names begin and end so.
static void add_folder(struct gt_names *out, const char *folder, const char *prefix,
                       const char *suffix)
{
	struct gt_names names = {0};
	(void)!gt_list_folder(folder, &names, NULL);
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.items[i];
		size_t n = strlen(name), end = strlen(suffix);
		if (strncmp(name, prefix, strlen(prefix)) != 0 || n < end ||
		    strcmp(name + n - end, suffix) != 0)
			continue;
		char *path = gt_path_join(folder, name);
		gt_names_add(out, path);
		free(path);
	}
	gt_names_free(&names);
}

// Files of a folder and of those in it.
static void add_folders(struct gt_names *out, const char *folder)
{
	size_t i = out->count;
	add_folder(out, folder, "", "");
	for (size_t end = out->count; i < end; i++)
		if (gt_is_folder(out->items[i]))
			add_folder(out, out->items[i], "", "");
}

// <name>/model.onnx, with nothing in the folder but what is the test's?
static bool has_own_folder(const struct gt_case *test, const char *folder, const char *file)
{
	const char *slash = strrchr(folder, '/');
	return strcmp(file, "model.onnx") == 0 && strcmp(slash ? slash + 1 : folder, test->name) == 0;
}

// The names that exporters give to the weights of a model without a folder of its own, beside those that
// begin with its whole name. There or not: one that appears is a change.
static void add_weights(struct gt_names *out, const char *model)
{
	static const char *const endings[] = {".data", "_data", ".bin", ".weights"};
	const char *dot = strrchr(model, '.');
	int stem = dot && !strchr(dot, '/') ? (int)(dot - model) : (int)strlen(model);
	for (size_t i = 0; i < GT_COUNTOF(endings); i++) {
		char *path = gt_format("%.*s%s", stem, model, endings[i]);
		gt_names_add(out, path);
		free(path);
	}
}

// The model is not opened for that: only jobs read what is not trusted.
void gt_suite_files(const struct gt_case *test, struct gt_names *out)
{
	const char *slash = strrchr(test->model, '/');
	const char *file = slash ? slash + 1 : test->model;
	char *folder = slash ? gt_strndup(test->model, (size_t)(slash - test->model)) : gt_strdup(".");
	gt_names_add(out, test->model);
	if (test->kind == GT_CASE_PYTHON)
		add_folder(out, folder, "", ".py");
	else if (has_own_folder(test, folder, file))
		add_folders(out, folder);
	else if (test->kind != GT_CASE_FAKE) {
		add_folder(out, folder, file, "");
		add_weights(out, test->model);
	}
	for (size_t i = 0; i < test->sets.count; i++)
		add_folder(out, test->sets.items[i], "", "");
	for (size_t i = 0; i < test->outputs.count; i++)
		gt_names_add(out, test->outputs.items[i]);
	free(folder);
}
