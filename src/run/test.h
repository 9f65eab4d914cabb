// run/test.h - the way of one test through its stages.
//
//   start -> stage-start -> job on a host -> stage-end -> next stage ... -> test-end
#ifndef GT_RUN_TEST_H
#define GT_RUN_TEST_H

#include "run/runner_private.h"

// Start a test in a slot; it tells the runner when it has left it.
void gt_test_start(struct gt_runner *r, size_t slot, const struct gt_case *test);

// A host became ready, failed or went: go on if the test waits for it.
void gt_test_host_changed(struct gt_test *test, const struct gt_host *host);

// The user suspended the run, or took it up again.
void gt_test_pause(struct gt_test *test, bool pause);

// A job has ended: go on if the test was held back by it.
void gt_test_go_on(struct gt_test *test);

// The run is to end: kill the job that is under way, or leave the slot.
void gt_test_stop(struct gt_test *test);

#endif // GT_RUN_TEST_H
