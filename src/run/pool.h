// run/pool.h - the hosts of one kind: one that all jobs share while it behaves, else one for each job.
//
// A shared host that dies, hangs or is no longer fit to fork is replaced; what it was is told in a
// note. After GT_MAX_HOST_DEATHS in a row the kind falls back: each job gets a host of its own, which
// is executed for it, serves it and leaves (gt_host.once).
#ifndef GT_RUN_POOL_H
#define GT_RUN_POOL_H

#include "run/host.h"

// Deaths in a row: without a job reported between.
#define GT_MAX_HOST_DEATHS 3

struct gt_pool {
	enum gt_host_kind kind;
	uv_loop_t *loop;
	const struct gt_toolchain *tools;
	uint64_t job_memory;  // of gt_host
	// A host got ready or is gone (then it is freed after this call).
	void (*changed)(struct gt_pool *pool, struct gt_host *host);
	// Something happened to a host that no test is to blame for: `what` is "replaced" or
	// "fallback", `why` one word (docs/formats.md), `message` a sentence.
	void (*note)(struct gt_pool *pool, const char *what, const char *why, const char *message);
	void *user;
	struct gt_host *shared; // NULL: none is there
	int deaths;             // in a row
	bool fallen_back;
	json_t *identity;       // of the engine, from the last greeting
};

// The host for a job: the shared one, or with `own` or after the kind has fallen back a new one. It
// is ready, or changed() tells. One of its own has to be retired (gt_host_retire) when it has got its
// job, or none. A failure means that nothing can be started.
GT_MUST_USE gt_code gt_pool_host(struct gt_pool *pool, bool own, struct gt_host **host,
                                 struct gt_err *err);

// Can jobs be given to this kind?
bool gt_pool_ready(const struct gt_pool *pool);

// End the shared host. Then run the loop to its end, then free.
void gt_pool_stop(struct gt_pool *pool);
void gt_pool_free(struct gt_pool *pool);

#endif // GT_RUN_POOL_H
