// run/resume.h - going on with a run that ended early, or running its failures again: what is there,
// and is it the same run?
#ifndef GT_RUN_RESUME_H
#define GT_RUN_RESUME_H

#include "core/case.h"
#include "core/result.h"
#include "run/journal.h"
#include "suite/expect.h"

// What there is of an earlier run in a run directory.
struct gt_resume {
	struct gt_result result; // the fold of its journal; owned
	struct gt_journal_end end;
	bool begun;              // a stage has ended; else there is nothing to go on with
};

// Read the journal of the run directory `folder`. No journal is not an error, but nothing has begun.
// GT_BAD_DATA names the line that is damaged.
GT_MUST_USE gt_code gt_resume_load(const char *folder, struct gt_resume *out, struct gt_err *err);
void gt_resume_free(struct gt_resume *resume);

// Is a test still to be run: does it have no status, or one that the files do not back (gt_audit_ended())
// or, if `failed`, none that was expected?
bool gt_resume_is_due(const struct gt_test_result *test, bool failed);

// Fingerprint of a case, for the event "test": XXH3-64 of its JSON and of name, size and time of change
// of its files (gt_suite_files()), 16 hex digits. Allocated.
char *gt_resume_fingerprint(const struct gt_case *test);

// Would this run be the one of the journal? Its tests must be `cases`, with the same files and the
// same expectations (NULL: all must pass). GT_BAD_USAGE names the first test that differs, and how.
GT_MUST_USE gt_code gt_resume_check_tests(const struct gt_result *result,
                                          const struct gt_cases *cases,
                                          const struct gt_expectations *expectations,
                                          struct gt_err *err);

// ... and with the options, stages, limits and tools of `start`, the event run-start as this run
// would write it; tools that one of both lacks are not compared, but for Gauntlet itself. GT_BAD_USAGE names the member that
// differs, and both values.
GT_MUST_USE gt_code gt_resume_check_start(const struct gt_result *result, const json_t *start,
                                          struct gt_err *err);

// What the run was begun with and `flag` ("--resume"), as a line for a shell that goes on with it. Allocated.
char *gt_resume_command(const struct gt_result *result, const char *flag);

// The event run-resume, for the tests that are due.
json_t *gt_resume_event(const struct gt_result *result, bool failed, const json_t *argv, int jobs);

#endif // GT_RUN_RESUME_H
