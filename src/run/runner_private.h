// run/runner_private.h - the run, as run/runner.c and its tests (run/test_private.h) see it.
#ifndef GT_RUN_RUNNER_PRIVATE_H
#define GT_RUN_RUNNER_PRIVATE_H

#include "run/journal.h"
#include "run/pool.h"
#include "run/runner.h"

struct gt_test;

struct gt_runner {
	const struct gt_run_config *config;
	const struct gt_rundir *rundir;
	struct gt_result *result;
	struct gt_err *err;
	gt_code fatal;      // the run cannot go on; `err` says why
	uv_loop_t loop;
	uv_timer_t tick;
	uv_signal_t signals[5];
	struct gt_pool pools[GT_HOST_COUNT];
	bool needs[GT_HOST_COUNT];
	json_t *notes;      // events of before the journal was begun
	struct gt_journal journal;
	json_t *options;    // of every request
	struct gt_test **slots; // config->jobs of them; NULL where no test runs
	size_t next_case;   // the first that is due and has not been started
	size_t failures_before; // of a run that goes on
	size_t running_jobs;
	struct gt_test *alone; // a test that needs the machine for itself, or has it
	bool quiet;         // it has it: the idle instances of all others stand still
	pid_t dead;         // a child that had ended at the last tick, and was still there
	bool running;       // tests may start
	bool stopping;      // no stage starts any more
	bool ending;        // everything is being closed
	int64_t stop_at;    // clock at which the jobs still running are killed
	int signal_number;
	const char *reason; // why it stops; "" if it does not
};

// Record an event and tell the observer. Takes `event`. A failure stops the run.
void gt_runner_emit(struct gt_runner *r, json_t *event);

// The run cannot go on. Returns `code`.
gt_code gt_runner_fail(struct gt_runner *r, gt_code code);

// A test has left its slot.
void gt_runner_slot_free(struct gt_runner *r, size_t slot);

#endif // GT_RUN_RUNNER_PRIVATE_H
