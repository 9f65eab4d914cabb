// worker/tree.h - the processes below this one: visiting, naming, killing them.
//
// By /proc, which shows the pids of the namespace it was mounted in: a supervisor that is pid 1 of a
// namespace of its own sees its tree there under other numbers than it would use itself.
#ifndef GT_WORKER_TREE_H
#define GT_WORKER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Kill every child of this process but those that `spare` (may be NULL) says to. What a killed child
// leaves behind comes to us if we are a subreaper: call it again, and wait for them, until nobody is
// left. How many there were, also dead ones; -1 if the system does not tell who our children are. Not
// for a process in a PID namespace of its own.
int gt_tree_kill_children(bool (*spare)(const void *user, pid_t pid), const void *user);

// Call `visit` for each process below this one, whichever thread has started it, a parent before its
// children; `pid` is as /proc has it. One that `borrows` is between vfork() and exec: its memory is
// its parent's.
void gt_tree_visit(void (*visit)(long pid, bool borrows, void *user), void *user);

// Names of processes, each with how often it occurs. Zero-initialised it is empty.
#define GT_TREE_NAMES 16
struct gt_tree_names {
	size_t count;
	struct {
		char name[16];
		unsigned times;
	} items[GT_TREE_NAMES]; // by name
	unsigned others; // that found no room
};

// Add the name of a process that may be dead, if nobody has waited for it yet: `pid` is as this process has
// it. "?" if the system does not tell.
void gt_tree_names_add(struct gt_tree_names *names, pid_t pid);

// All of them, "python3 (2), sleep"; what `size` (at least 32) has no room for is in "others (N)". "" if
// there are none.
void gt_tree_names_text(const struct gt_tree_names *names, char *text, size_t size);

#endif // GT_WORKER_TREE_H
