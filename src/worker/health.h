// worker/health.h - is a host still what it was when it said hello? Looked at before each fork.
//
// A thread makes the fork unsafe, memory and descriptors that a host has gathered are in every job
// from there on. Where /proc does not tell, nothing is found.
#ifndef GT_WORKER_HEALTH_H
#define GT_WORKER_HEALTH_H

#include "worker/host.h"

// A host may grow so much by its own forking and no more.
#define GT_HEALTH_GROWTH ((int64_t)32 << 20)

struct gt_health {
	int threads;
	int descriptors; // open ones
	uint64_t print;  // of which numbers they have and what they are
	int64_t memory;  // resident bytes: its own, shared and files'
};

// Look. The `count` descriptors in `borrowed` are not counted: they are a job's.
void gt_health_take(struct gt_health *health, const int *borrowed, size_t count);

// What is wrong `now` with a host that was `before` when it began; 0 if nothing is. `text` says it
// in half a sentence: "it runs 2 threads".
enum gt_surprise gt_health_compare(const struct gt_health *before, const struct gt_health *now,
                                   char *text, size_t size);

#endif // GT_WORKER_HEALTH_H
