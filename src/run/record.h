// run/record.h - the two records in a test's folder: test.json, what it is, and stages.json, what is
// kept of each of its stages. Both are sealed (base/json.h). docs/formats.md, "test.json" and below.
#ifndef GT_RUN_RECORD_H
#define GT_RUN_RECORD_H

#include "base/json.h"
#include "core/case.h"
#include "run/ending.h"

// Records without any stage; the caller owns them.
json_t *gt_record_new(void);

// Read <folder>/stages.json; *records is NULL if there is none. GT_BAD_DATA: it is damaged, or not
// in the form or the format that this program reads. What is read names only files in the folder and,
// as inputs, absolute ones of the suite, each with a hash.
GT_MUST_USE gt_code gt_record_read(const char *folder, json_t **records, struct gt_err *err);
GT_MUST_USE gt_code gt_record_write(const char *folder, const json_t *records, struct gt_err *err);

// <folder>/test.json: {"test", "options"} in the forms of core/case.h and core/options.h.
GT_MUST_USE gt_code gt_record_read_test(const char *folder, json_t **test, struct gt_err *err);
GT_MUST_USE gt_code gt_record_write_test(const char *folder, const struct gt_case *test,
                                         const json_t *options, struct gt_err *err);

// Set the members of `object` that tell how an attempt ended: "attempt" to "detail".
void gt_record_facts(json_t *object, int attempt, const struct gt_ending *ending);

// What the stages left is gone, with the folder that held it.
void gt_record_lose_files(json_t *records);

// The record of a stage from such an object (its members "event", "test" and "stage" are left out).
// `inputs`, what gt_plan_inputs() said, and `basis` are taken; `facts` and `tool` (may be NULL) stay the
// caller's, and what is in them is shared. What the stage read outside the test's folder,
// detail.sources, goes to the inputs.
json_t *gt_record_make(json_t *facts, json_t *inputs, json_t *basis, json_t *tool);

// --load-inputs: a stage that is to load inputs goes by their record, and an attempt that fails keeps it
// in its own, as the member GT_RECORD_LOADS. Before an attempt at `stage`: take it up again. After one:
// keep what `stages` has in `record`, which takes its place, if that failed.
#define GT_RECORD_LOADS "loads"
void gt_record_begin_loading(json_t *stages, const char *stage);
void gt_record_end_loading(const json_t *stages, const char *stage, json_t *record);

// Take files as they are, whoever made them: `inputs` and the records of `stages` get the hashes
// that the files of `folder` have now. A file that differs from its record is marked "by_hand".
GT_MUST_USE gt_code gt_record_trust(const char *folder, json_t *inputs, json_t *stages,
                                    struct gt_err *err);

#endif // GT_RUN_RECORD_H
