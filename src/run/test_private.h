// run/test_private.h - a test on its way, as run/test.c, run/attempt.c, run/stage_end.c and run/alone.c
// see it.
#ifndef GT_RUN_TEST_PRIVATE_H
#define GT_RUN_TEST_PRIVATE_H

#include "run/job.h"
#include "run/retry.h"
#include "run/test.h"
#include "run/testdir.h"

// How the last stage ended that a test class was there for, while it goes.
struct gt_farewell {
	struct gt_ending ending;
	const char *worker; // who did that stage, for sentences
	char *output;
	json_t *identity;
};

struct gt_test {
	struct gt_runner *runner;
	size_t slot;
	const struct gt_case *test;
	struct gt_testdir dir;
	json_t *test_json;
	enum gt_stage_id stage;
	int attempt;
	struct gt_failures failures; // of this stage
	int lost;          // attempts that ended with a host that others shared
	bool begun;        // stage-start of this attempt is written
	const struct gt_host *waits_for;
	struct gt_host *own; // host for the next job only, until it has it
	bool builtin;      // the test class leaves this stage to the built-in code
	bool alone;        // the next attempt has to have the machine for itself
	bool suspended;    // by the user
	bool held;         // waits for that, or for another test that has it
	struct gt_job *job; // under way, or the idle instance
	struct gt_job *instance;
	bool leaving;      // the slot is free as soon as the instance is gone
	struct gt_farewell *farewell; // the instance goes, and a stage waits for what it leaves behind
	struct gt_job_report left; // what it left
	json_t *records;   // stages.json
	json_t *inputs;    // of the stage that is under way; NULL if none is
	bool unreadable;   // stages.json of an earlier run is; it stays as it is
	bool evicted;      // its folder was removed or replaced, or cannot even be made
	bool refused;      // the stage may not begin: what is recorded of it stays as it is
};

// The records of the test's stages, by name; borrowed.
json_t *gt_test_stages(const struct gt_test *t);

// Is the stage tried again after this ending, which is counted in `failures`? What went with a shared
// host always is, and costs none of the tries that the test has: it ends on a host of its own.
bool gt_test_is_tried_again(const struct gt_test *t, const struct gt_ending *ending,
                            struct gt_failures *failures);

// The end of a stage is recorded: once more, the next stage, or the end of the test.
void gt_test_after_stage(struct gt_test *t, const struct gt_ending *ending);

// Leave the slot, without a word in the journal. `t` may be gone after it.
void gt_test_leave(struct gt_test *t);

#endif // GT_RUN_TEST_PRIVATE_H
