// run/runner.h - a run: every selected test through its stages, many at once, all recorded.
//
// One thread and one event loop. Loads no ML library and forks no job: hosts do (run/host.h).
// Read on in run/test.h, the way of one test.
#ifndef GT_RUN_RUNNER_H
#define GT_RUN_RUNNER_H

#include "core/result.h"
#include "engine/toolchain.h"
#include "run/plan.h"
#include "run/resume.h"
#include "run/rundir.h"
#include "suite/expect.h"

// Borrows everything.
struct gt_run_config {
	struct gt_plan plan;
	const struct gt_cases *cases;
	const struct gt_expectations *expectations; // NULL: every test must pass
	const struct gt_toolchain *tools;
	const json_t *argv; // for the record
	const json_t *program; // what this program is (gt_toolchain_self()), for the record; NULL: not said
	int jobs;           // tests at once, at least 1; see gt_run_room()
	size_t max_failures; // stop after so many more tests that did not end as expected; 0: never
	bool keep_artifacts;
	const struct gt_journal_end *resumes; // go on with the journal that ends here; NULL: a new run
	bool rerun_failed; // ... and run those again that did not end as expected
	// Called after each event has been recorded and applied, and ten times a second with NULL.
	void (*observe)(void *user, const struct gt_result *result, const json_t *event);
	// Called on SIGUSR1: show what runs since when. May be NULL.
	void (*show_running)(void *user);
	// Called with true before this process is stopped (Ctrl-Z) and when it no longer catches signals,
	// with false when it goes on: what was changed of the terminal has to be put back. May be NULL.
	void (*suspend)(void *user, bool stop);
	// Called when nothing more is started, and when a signal comes then: why ("interrupted", "max-failures") and
	// how long what runs may go on; 0: not at all. May be NULL.
	void (*show_stop)(void *user, const char *reason, double seconds);
	// Called at the end of the run, and before one goes on, for each result that its audit refuses
	// (run/audit.h), with a sentence. May be NULL.
	void (*show_finding)(void *user, const char *finding);
	void *user;
};

// The lowest limit of open files with which a test can be run.
#define GT_RUN_DESCRIPTORS 71

// Raise the limit of open files as far as `jobs` tests at once need and the system allows. Returns how
// many tests may run at once with that, from 0 to `jobs`.
int gt_run_room(int jobs);

// Run. `result` is empty, or what has been recorded so far of the run that is to go on. GT_OK also when tests fail or the run is interrupted (*signal_number tells by what, else 0):
// the result says it all. A failure means that no run took place, or that it could not be recorded;
// GT_BAD_USAGE: the run that is to go on is another one.
// SIGINT, SIGTERM and SIGHUP interrupt it. Once it no longer listens to them they are blocked, also after it
// has returned: reports are written and the run directory is closed first. The caller then lets them
// come with gt_run_release_signals().
GT_MUST_USE gt_code gt_run(const struct gt_run_config *config, const struct gt_rundir *rundir,
                           struct gt_result *result, int *signal_number, struct gt_err *err);

// One that has come in the meantime ends this program now, as it would have. Nothing if none were blocked.
void gt_run_release_signals(void);

#endif // GT_RUN_RUNNER_H
