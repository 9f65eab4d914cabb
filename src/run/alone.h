// run/alone.h - who may run: a stage that has to be alone gets the whole machine, and all stand still
// while the user suspends the run.
//
// Nothing starts from when a test asks for the machine; it has it when no job runs any more. Then the
// idle instances of other tests are stopped, with all that they have started, until it gives it back.
#ifndef GT_RUN_ALONE_H
#define GT_RUN_ALONE_H

#include "run/test_private.h"

// May an attempt start now? Asks for the machine if it has to be alone. If not, gt_test_go_on() comes.
bool gt_alone_may_start(struct gt_test *t);

// The attempt is over. Nothing if it had not asked for the machine.
void gt_alone_give_back(struct gt_test *t);

// May no process of the test run, because the user wants that or another stage is alone?
bool gt_alone_is_still(const struct gt_test *t);

// Stop the test's processes or let them go on, as gt_alone_is_still() says.
void gt_alone_still(const struct gt_test *t);

#endif // GT_RUN_ALONE_H
