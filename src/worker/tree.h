// worker/tree.h - killing processes that no PID namespace holds together.
#ifndef GT_WORKER_TREE_H
#define GT_WORKER_TREE_H

#include <stdbool.h>
#include <sys/types.h>

// Kill every child of this process but those that `spare` (may be NULL) says to. What a killed child
// leaves behind comes to us if we are a subreaper: call it again until nobody is left. False if the
// system does not tell who our children are.
bool gt_tree_kill_children(bool (*spare)(const void *user, pid_t pid), const void *user);

#endif // GT_WORKER_TREE_H
