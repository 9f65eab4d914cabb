// run/attempt.h - one attempt at a stage: a host, a request, a job, until its ending is known.
//
//   start -> the machine if it must be alone -> a host -> what it needs is there -> stage-start -> job
//         -> ending -> run/stage_end.h
//
// Each function may end in the test's leaving: `t` is not to be touched after it.
#ifndef GT_RUN_ATTEMPT_H
#define GT_RUN_ATTEMPT_H

#include "run/test_private.h"

// Start it, or wait for what it needs: then gt_test_host_changed() or gt_test_go_on() starts it again.
void gt_attempt_start(struct gt_test *t);

// It cannot even be asked for: the stage has failed.
void gt_attempt_fail(struct gt_test *t, const char *why, const char *message);

// The run cannot go on, and no test is to blame.
void gt_attempt_fail_run(struct gt_test *t, const struct gt_err *err);

// End the host that was started for this attempt alone, if it still has none of its jobs.
void gt_attempt_drop_host(struct gt_test *t);

#endif // GT_RUN_ATTEMPT_H
