// run/rundir.h - the run directory: its lock and its working folders; run/testdir.h has those of tests.
//
//   <run>/events.jsonl results.json run.lock tmp/ <test folder>/...
#ifndef GT_RUN_RUNDIR_H
#define GT_RUN_RUNDIR_H

#include "base/file.h"
#include "base/temporary.h"

struct gt_rundir {
	char *path;  // absolute
	char *tmp;   // <run>/tmp, or what that links to, if IREE could not stand its name
	struct gt_temporary elsewhere; // what that is then
	int lock;
};

// Make or take over a run directory and lock it. GT_BAD_USAGE: another runner holds it, or it is a
// folder with other content that no run of ours has made. Waits two seconds for the lock, as does
// gt_rundir_share(): who was killed is still on the way out, and a report is soon written. Waits also for
// jobs that a killed run has left; GT_IO: they do not go.
GT_MUST_USE gt_code gt_rundir_open(const char *path, struct gt_rundir *out, struct gt_err *err);

// Remove the working folders of jobs, which have ended; what filled the disk may be among them.
void gt_rundir_remove_tmp(struct gt_rundir *rundir);

// The same, and release the lock.
void gt_rundir_close(struct gt_rundir *rundir);

// Keep runners out of the run directory of a test's folder while *lock is open: for who works there
// beside others of the same kind. GT_BAD_USAGE: a runner holds it. *lock is -1 where nothing can
// be locked, as in a folder that was copied elsewhere.
GT_MUST_USE gt_code gt_rundir_share(const char *folder, int *lock, struct gt_err *err);

// Keep runners out of a run directory while *lock is open, as above; *held: a runner is there, and
// *lock is -1. A folder without a lock file has neither.
void gt_rundir_visit(const char *rundir, int *lock, bool *held);

// A new, empty working folder below tmp/, in place of an older one of that name; one that nobody has
// touched since it was made is as good as new. Returns an O_DIRECTORY descriptor.
GT_MUST_USE gt_code gt_rundir_scratch(const struct gt_rundir *rundir, const char *name, int *fd,
                                      struct gt_err *err);

// Let the working folder of that name go: a process may still be at work in it, so the next has to be
// another one.
void gt_rundir_drop(const struct gt_rundir *rundir, const char *name);

// GT_DISK, and a sentence, if the run directory is no longer the one that was opened, or is closed to us.
GT_MUST_USE gt_code gt_rundir_check_place(const struct gt_rundir *rundir, struct gt_err *err);

// The same, also if there is hardly any room on its disk or on that of the working folders: what
// fails then may fail for that alone.
GT_MUST_USE gt_code gt_rundir_check_disk(const struct gt_rundir *rundir, struct gt_err *err);

#endif // GT_RUN_RUNDIR_H
