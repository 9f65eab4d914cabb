// run/audit.h - the last look at a run: is every result what the files say?
#ifndef GT_RUN_AUDIT_H
#define GT_RUN_AUDIT_H

#include "base/file.h"
#include "core/result.h"

// Compare the terminal state of every test of a complete run with what lies in its folder below
// `rundir`: PASS and Numerics with the comparison that stages.json records, a failed stage with its
// log. Appends one sentence per test that does not fit to `findings`; none is the only good answer.
void gt_audit(const struct gt_result *result, const char *rundir, struct gt_names *findings);

#endif // GT_RUN_AUDIT_H
