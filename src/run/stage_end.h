// run/stage_end.h - the end of an attempt is judged once more by the test's folder, and recorded.
#ifndef GT_RUN_STAGE_END_H
#define GT_RUN_STAGE_END_H

#include "run/test_private.h"

// Write the log, the record and the event stage-end, and let the test go on (gt_test_after_stage), or
// leave if it was interrupted or nothing can be written. Changes `ending` where the test's folder or
// the disk says otherwise; borrows everything. `identity` is of the tool, NULL if there was none.
void gt_stage_end(struct gt_test *t, struct gt_ending *ending, const char *output, json_t *identity);

#endif // GT_RUN_STAGE_END_H
