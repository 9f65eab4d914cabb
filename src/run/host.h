// run/host.h - the runner's side of a host process: start it, give it jobs, see it end.
//
// What a death means for the jobs to come is for run/pool.h to say.
#ifndef GT_RUN_HOST_H
#define GT_RUN_HOST_H

#include "base/json.h"
#include "core/stages.h"
#include "engine/toolchain.h"
#include "worker/host.h"

#include <uv.h>

struct gt_job;

enum gt_host_state {
	GT_HOST_IDLE,     // no process
	GT_HOST_STARTING, // waits for HELLO
	GT_HOST_READY,
	GT_HOST_RETIRED,  // takes no more jobs, and leaves with its last
	GT_HOST_ENDING,   // its socket is closed, its process not yet gone
	GT_HOST_FAILED,   // could not start; `failure` says why
};

// Zero-initialised but for `kind`, `changed` and `user` it is idle.
struct gt_host {
	enum gt_host_kind kind;
	enum gt_host_state state;
	bool once;           // it is for one job, whose child loads the engine
	void (*changed)(struct gt_host *host); // the state is another one now; it may free an idle host
	void *user;
	json_t *identity;    // of its engine, from HELLO
	char *failure;       // a sentence
	bool said;           // ... that is the host's own reason: to start it again would be no use
	const char *surprise; // word for what made us part with it or retire it; NULL: nothing did
	char surprise_text[128]; // half a sentence on that
	struct gt_job *jobs; // those it runs
	uint64_t first_job, last_job; // numbers it was given
	size_t owed;         // jobs of which it has not said the last word yet
	size_t started, reported; // jobs that were
	int control;         // our end, while there is a process
	int log;             // memory file of what the host itself prints
	uint64_t job_memory; // limit of each job's private memory in bytes; 0: none
	double patience_s;   // how long its start may take; 0: the default
	double answer_s;     // how long the answer to an order may take; 0: the default
	bool greeted, stopped;
	int64_t exit_status;
	int exit_signal;
	bool running;        // the process has not been reaped yet
	uv_process_t process;
	uv_poll_t poll;
	uv_timer_t patience;
	int open_handles;
};

// Start the process of a host that is idle or has failed. A failure if that is not possible, GT_NO_MEMORY
// if the system has no descriptor or memory left for it; everything later comes through changed().
GT_MUST_USE gt_code gt_host_start(struct gt_host *host, uv_loop_t *loop,
                                  const struct gt_toolchain *tools, struct gt_err *err);

// Order a job started with descriptors as in worker/host.h (borrowed).
GT_MUST_USE gt_code gt_host_order_start(struct gt_host *host, uint64_t job, bool instance,
                                        const int fds[GT_ORDER_FDS], struct gt_err *err);

// How long the answer to an order may take, in seconds.
double gt_host_answer_s(const struct gt_host *host);

// Read what the host has sent and the loop has not seen yet.
void gt_host_look(struct gt_host *host);

// It did not answer an order in time: end it, and with it all its jobs.
void gt_host_silent(struct gt_host *host);

// Give it no more jobs. It leaves with the last it has, at once if it has none.
void gt_host_retire(struct gt_host *host);

// Order a job's supervisor killed, when it does not end by itself.
void gt_host_order_kill(struct gt_host *host, uint64_t job);

// End the process. Jobs that it still runs are lost.
void gt_host_stop(struct gt_host *host);

// Free what a stopped host holds, after the loop has ended.
void gt_host_free(struct gt_host *host);

#endif // GT_RUN_HOST_H
