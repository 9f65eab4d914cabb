// run/audit.h - the last look at a run: is every result what the files say?
#ifndef GT_RUN_AUDIT_H
#define GT_RUN_AUDIT_H

#include "base/file.h"
#include "core/result.h"

// Compare the terminal state of every test of a complete run with what lies in its folder below
// `rundir`:
// - stages.json is whole and of this test. It may be unreadable only if the test ended with that.
// - Every stage that ran is recorded as it ended. Of a stage that was refused the record is of before.
// - The stage that a test stopped in has left a log that is not empty.
// - The record of the comparison and comparison.json say what the test is, PASS or Numerics.
// - What the stages of this run left is there, each file with the size that was recorded last; of a test
//   without artifacts, what is kept of it.
// Sizes are looked at, not hashes: that costs as much for large files as for small ones. Appends one
// sentence per test that does not fit to `findings`, the first thing found; none is the only good answer.
// Such a test is marked as not backed, all others as backed.
void gt_audit(struct gt_result *result, const char *rundir, struct gt_names *findings);

// The same for those tests of a run that have ended: of one that was stopped, and before it goes on.
void gt_audit_ended(struct gt_result *result, const char *rundir, struct gt_names *findings);

#endif // GT_RUN_AUDIT_H
