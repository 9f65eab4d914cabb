#include "stage/stage.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

gt_stage_function *gt_stage_code(enum gt_stage_id id)
{
	static gt_stage_function *const code[GT_STAGE_COUNT] = {
		[GT_SETUP] = gt_stage_setup,
		[GT_PREPROCESSING] = gt_stage_preprocessing,
		[GT_COMPILATION] = gt_stage_compilation,
		[GT_CONSTRUCT_INPUTS] = gt_stage_construct_inputs,
		[GT_NATIVE_INFERENCE] = gt_stage_native_inference,
		[GT_COMPILED_INFERENCE] = gt_stage_compiled_inference,
		[GT_POSTPROCESSING] = gt_stage_postprocessing,
		[GT_COMPARISON] = gt_stage_comparison,
	};
	return code[id];
}

size_t gt_stage_set_count(const struct gt_case *test)
{
	return test->sets.count ? test->sets.count : 1;
}

char *gt_stage_set_folder(const struct gt_stage_context *context, size_t set)
{
	if (set == 0)
		return gt_strdup(context->folder);
	return gt_format("%s/data_set_%zu", context->folder, set);
}

gt_code gt_stage_make_folder(const struct gt_stage_context *context, const char *name,
                             struct gt_err *err)
{
	char *path = gt_path_join(context->folder, name);
	gt_code rc = GT_OK;
	for (char *end = path + strlen(context->folder); !rc && end;) {
		struct stat st;
		end = strchr(end + 1, '/');
		if (end)
			*end = '\0';
		if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
			rc = gt_fail(err, GT_BAD_DATA,
			             "'%s' is a link, which might lead out of the test's folder: remove it",
			             path);
		if (end)
			*end = '/';
	}
	if (!rc)
		rc = gt_make_folders(path, err);
	free(path);
	return rc;
}

void gt_stage_wrote(struct gt_stage_context *context, size_t set, const struct gt_names *files)
{
	for (size_t i = 0; i < files->count; i++) {
		char *name = set == 0 ? gt_strdup(files->items[i])
		                      : gt_format("data_set_%zu/%s", set, files->items[i]);
		gt_names_add(&context->written, name);
		free(name);
	}
}

gt_code gt_stage_save(struct gt_stage_context *context, size_t set, const char *stem,
                      const struct gt_values *values, struct gt_err *err)
{
	struct gt_names files = {0};
	char *folder = gt_stage_set_folder(context, set), *name = gt_format("data_set_%zu", set);
	gt_code rc = set ? gt_stage_make_folder(context, name, err) : gt_make_folders(folder, err);
	if (!rc)
		rc = gt_values_save(folder, stem, values, &files, err);
	if (!rc)
		gt_stage_wrote(context, set, &files);
	free(name);
	free(folder);
	gt_names_free(&files);
	return rc;
}

gt_code gt_stage_source_failed(gt_code code, struct gt_err *err)
{
	if (code != GT_DISK)
		return code;
	if (err)
		err->code = GT_IO;
	return GT_IO;
}

gt_code gt_stage_set_failed(const struct gt_stage_context *context, size_t set, gt_code code,
                            struct gt_err *err)
{
	if (code && gt_stage_set_count(context->test) > 1)
		gt_err_context(err, "data set %zu", set);
	return code;
}
