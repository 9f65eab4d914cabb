// worker/isolation.h - a fork whose child is pid 1 of a PID namespace of its own, where we may.
//
// Whatever ends that child takes everything below it along: the one guarantee that no other means
// gives. docs/processes.md says what is promised without it.
#ifndef GT_WORKER_ISOLATION_H
#define GT_WORKER_ISOLATION_H

#include "base/status.h"

#include <sys/types.h>

enum gt_isolation_kind {
	GT_ISOLATION_PRIVILEGED, // we may make PID namespaces (CAP_SYS_ADMIN)
	GT_ISOLATION_USER,       // only inside a user namespace of our own
	GT_ISOLATION_NONE,       // not at all: subreaper and process group
};

struct gt_isolation {
	enum gt_isolation_kind kind;
	int home; // our own PID namespace, to come back to
};

// Is the variable GAUNTLET_ISOLATION, which leaves out the stronger kinds (user, none; for tests of the
// weaker ones), one of these or not set? Else GT_BAD_USAGE.
GT_MUST_USE gt_code gt_isolation_check(struct gt_err *err);

// Find out by trying; costs about a millisecond. It is tried again if somebody kills what tries, or if
// there is no room for a process just then.
void gt_isolation_probe(struct gt_isolation *isolation);

// "pid namespace", "pid namespace in a user namespace", "process group".
const char *gt_isolation_describe(const struct gt_isolation *isolation);

// fork(). The caller has one thread. -1 with errno; 0 in the child. The pid returned may be that
// of a go-between that lives as long as the child and whose death kills it.
pid_t gt_isolation_fork(const struct gt_isolation *isolation);

#endif // GT_WORKER_ISOLATION_H
