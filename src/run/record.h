// run/record.h - stages.json: what is kept of each stage of a test. docs/formats.md, "stages.json".
#ifndef GT_RUN_RECORD_H
#define GT_RUN_RECORD_H

#include "base/json.h"
#include "run/ending.h"

// Records without any stage; the caller owns them.
json_t *gt_record_new(void);

// Read <folder>/stages.json; *records is NULL if there is none. GT_BAD_DATA: it is not in a form,
// or in a format, that this program reads.
GT_MUST_USE gt_code gt_record_read(const char *folder, json_t **records, struct gt_err *err);
GT_MUST_USE gt_code gt_record_write(const char *folder, const json_t *records, struct gt_err *err);

// Set the members of `object` that tell how an attempt ended: "attempt" to "detail".
void gt_record_facts(json_t *object, int attempt, const struct gt_ending *ending);

// The record of a stage from such an object (its members "event", "test" and "stage" are left out).
// `inputs`, what gt_plan_inputs() said, and `basis` are taken, `tool` (may be NULL) is borrowed. What
// the stage read outside the test's folder, detail.sources, goes to the inputs.
json_t *gt_record_make(const json_t *facts, json_t *inputs, json_t *basis, const json_t *tool);

// Take files as they are, whoever made them: `inputs` and the records of `stages` get the hashes
// that the files of `folder` have now. A file that differs from its record is marked "by_hand".
GT_MUST_USE gt_code gt_record_trust(const char *folder, json_t *inputs, json_t *stages,
                                    struct gt_err *err);

#endif // GT_RUN_RECORD_H
