// stage/fake.h - stages of a fake case: a fault on order (worker/fault.h), then files that look right.
//
// For Gauntlet's own tests. The order of each stage is in the case's file: {"<test>": {"<stage>":
// "ORDER", ...}, ...}; a stage without one passes. Besides the faults: "error[:SENTENCE]" and
// "unsupported" (a tool says no), "wrong" (compiled_inference gives another value), "N*ORDER" (only
// at the first N attempts; needs a folder that survives them, which the test's own does).
#ifndef GT_STAGE_FAKE_H
#define GT_STAGE_FAKE_H

#include "stage/stage.h"

GT_MUST_USE gt_code gt_stage_fake(struct gt_stage_context *context, enum gt_stage_id stage,
                                  struct gt_err *err);

#endif // GT_STAGE_FAKE_H
