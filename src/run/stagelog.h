// run/stagelog.h - what a stage printed, for people: <stage>.log if it failed, else <stage>.output.
#ifndef GT_RUN_STAGELOG_H
#define GT_RUN_STAGELOG_H

#include "core/stages.h"
#include "run/ending.h"

// Write <folder>/<stage>.log of a failed stage (why, how to do it again, what it printed), or
// <stage>.output of one that succeeded and printed something. The other one, and the same of an
// earlier attempt or run, is removed.
GT_MUST_USE gt_code gt_stagelog_write(const char *folder, const char *test,
                                      enum gt_stage_id stage, const struct gt_ending *ending,
                                      const char *output, struct gt_err *err);

// A crash says little by itself: put the first line that was printed into its message.
void gt_stagelog_quote(struct gt_ending *ending, const char *output);

#endif // GT_RUN_STAGELOG_H
