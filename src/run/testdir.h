// run/testdir.h - the folder of one test in the run directory: prepared for it, known again, mended.
//
//   <run>/<test folder>/test.json stages.json <stage>.log and what the stages leave
#ifndef GT_RUN_TESTDIR_H
#define GT_RUN_TESTDIR_H

#include "base/json.h"
#include "core/case.h"
#include "run/plan.h"
#include "run/rundir.h"

struct gt_testdir {
	const struct gt_rundir *rundir; // borrowed, as all but the path
	const struct gt_case *test;
	const json_t *options;
	char *path;
	int held;      // the folder, to know it again; -1 if there is none
	bool unusable; // nothing can be written there: the audit will say so
};

// GT_BAD_USAGE if a file, which may be somebody's, is where a test needs its folder.
GT_MUST_USE gt_code gt_testdir_check_places(const struct gt_rundir *rundir,
                                            const struct gt_cases *cases, struct gt_err *err);

// Prepare a test's folder, which replaces a link of its name: emptied if `fresh` (but for its inputs
// if `keep_inputs`), and test.json written. *records is stages.json of an earlier run, a new object
// (run/record.h): nothing of it if fresh, but for the record of inputs that are kept. `out` is to be
// closed in any case. GT_BAD_DATA: stages.json cannot be read; then nothing has changed. GT_DISK and
// GT_NO_MEMORY: the run cannot go on. Others: this test cannot begin, its folder is unusable.
GT_MUST_USE gt_code gt_testdir_open(const struct gt_rundir *rundir, const struct gt_case *test,
                                    const json_t *options, bool fresh, bool keep_inputs,
                                    struct gt_testdir *out, json_t **records, struct gt_err *err);

void gt_testdir_close(struct gt_testdir *dir);

// GT_BAD_DATA, and a sentence, if the folder is gone, or is now a link, a file or another one, or can no
// longer be written to: the run is well, the test is not.
GT_MUST_USE gt_code gt_testdir_check(const struct gt_testdir *dir, struct gt_err *err);

// The same, and then it is mended: made anew, or opened again, with its test.json. What stands in its
// place goes, but for another folder; nothing is ever written through a link. *lost: what was in it has
// gone. An unusable one is as well as it can be. GT_DISK and GT_NO_MEMORY: the run cannot go on.
GT_MUST_USE gt_code gt_testdir_keep(struct gt_testdir *dir, bool *lost, struct gt_err *err);

// Is what is called `name` kept with --no-artifacts? What people and programs read stays, but folders
// go as a whole: `name` may be a path below one.
bool gt_testdir_keeps(const char *name);

// Remove from a test's folder what is not kept, but for the files of `lent` (gt_plan_lent(); NULL: none).
void gt_testdir_remove_artifacts(const char *folder, const json_t *lent);

// The same, in the folder of a test that has ended, if its records say that it is without artifacts: a
// run may have been killed before all were gone.
void gt_testdir_finish_removal(const char *folder, const struct gt_plan *plan);

#endif // GT_RUN_TESTDIR_H
