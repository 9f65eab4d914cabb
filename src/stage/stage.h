// stage/stage.h - one stage of one test: a function from files to files in the test's own folder.
//
// Runs in a job. Sees the case, the options, the folder and one engine; prints only to stderr,
// which the job captures; reads no clock, no environment.
#ifndef GT_STAGE_STAGE_H
#define GT_STAGE_STAGE_H

#include "base/json.h"
#include "core/case.h"
#include "core/options.h"
#include "core/stages.h"
#include "engine/engine.h"

struct gt_stage_context {
	const struct gt_case *test;
	const struct gt_options *options;
	const char *folder;             // the test's own folder, absolute
	const struct gt_engine *engine; // of this host; NULL in the plain host
	struct gt_names written;        // files the stage made, relative to `folder`: fill it
	json_t *detail;                 // object: what the record should know beyond files: fill it
};

typedef gt_code gt_stage_function(struct gt_stage_context *context, struct gt_err *err);

gt_stage_function gt_stage_setup;
gt_stage_function gt_stage_preprocessing;
gt_stage_function gt_stage_compilation;
gt_stage_function gt_stage_construct_inputs;
gt_stage_function gt_stage_native_inference;
gt_stage_function gt_stage_compiled_inference;
gt_stage_function gt_stage_postprocessing;
gt_stage_function gt_stage_comparison;

// The function of a stage; NULL for import_model, which only the Python frontend can do.
gt_stage_function *gt_stage_code(enum gt_stage_id id);

// Several data sets of one test: set 0 lies in the test's folder, set N in data_set_N/ below it.
size_t gt_stage_set_count(const struct gt_case *test); // at least 1
// The folder of a set, absolute, allocated.
char *gt_stage_set_folder(const struct gt_stage_context *context, size_t set);
// Make a folder below the test's own. GT_BAD_DATA if a link is on the way: what a stage writes stays
// in the test's folder.
GT_MUST_USE gt_code gt_stage_make_folder(const struct gt_stage_context *context, const char *name,
                                         struct gt_err *err);
// Note files written to the folder of a set.
void gt_stage_wrote(struct gt_stage_context *context, size_t set, const struct gt_names *files);
// Save values in the folder of a set (gt_values_save) and note their files.
GT_MUST_USE gt_code gt_stage_save(struct gt_stage_context *context, size_t set, const char *stem,
                                  const struct gt_values *values, struct gt_err *err);
// A failure to read a file of the suite: no fault of the disk that the run writes to (GT_DISK becomes
// GT_IO). Returns the code.
gt_code gt_stage_source_failed(gt_code code, struct gt_err *err);
// A failure that belongs to a set says so, if it is not the only one. Returns `code`.
gt_code gt_stage_set_failed(const struct gt_stage_context *context, size_t set, gt_code code,
                            struct gt_err *err);

#endif // GT_STAGE_STAGE_H
