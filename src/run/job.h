// run/job.h - the runner's side of a job: a request, a deadline, a reply, an ending.
#ifndef GT_RUN_JOB_H
#define GT_RUN_JOB_H

#include "run/ending.h"
#include "run/host.h"

// All members are private to run/job.c but `user` and `identity`.
struct gt_job {
	void *user;
	json_t *identity;     // of its host's engine
	struct gt_host *host; // NULL once it has left its host, which may be gone before it
	enum gt_host_kind kind;
	uint64_t memory;      // its limit in bytes; 0: none
	struct gt_job *next, **link; // in the host's list
	uint64_t number;
	bool instance;
	bool own_host;
	int supervisor, child; // our ends of the two sockets
	int log;               // memory file with what the child printed
	int64_t log_seen;      // where the current request began in it
	uv_poll_t on_supervisor, on_child;
	uv_timer_t deadline;
	bool watches_child;    // on_child is open
	int open_handles;
	bool started;          // the host has said so; before that its limit does not run
	bool busy;             // a request waits for its reply
	bool spoiled;          // an instance that spoke out of turn; it is being killed
	bool over;             // an idle instance that has ended; the next request is told
	bool closing;
	bool orphaned;         // its host is gone; it is over when its child is
	bool released;         // an instance that is to leave by itself
	bool draining, drained; // its output is being read to the end; it has been
	int64_t paused;        // clock at which it was; 0: it runs
	uint64_t left_ms;      // of its deadline, then
	int kill_steps;        // how far an order to kill has gone
	int64_t began;
	struct gt_facts facts;
	char *frame;
	char *backtrace; // that came with the report
	void (*done)(struct gt_job *job, struct gt_ending *ending);
};

// Start a job on `host` with its first request. `folder` is a descriptor of its working folder
// (borrowed). done() is called once per request, with an ending that is the callee's; after it the
// job is gone, unless it is an instance that has replied. An instance that ends between requests
// stays until it is asked again, or released. The limit counts from when the host has started the
// job; a host that does not answer is ended. NULL and `err` if it cannot be started; the host may be
// ending then.
struct gt_job *gt_job_start(uv_loop_t *loop, struct gt_host *host, bool instance, int folder,
                            const char *request, double limit_s,
                            void (*done)(struct gt_job *, struct gt_ending *), void *user,
                            struct gt_err *err);

// A further request to an instance that is not busy. A failure comes through done().
void gt_job_request(struct gt_job *job, const char *request, double limit_s);

// Let an idle instance go: it leaves by itself, or is killed if it does not. `gone` is called when its
// whole tree is dead, not before the loop runs, and is told what it left behind; then the job is gone.
void gt_job_release(struct gt_job *job, void (*gone)(struct gt_job *, struct gt_ending *));

// The user suspended the run: stop the tree and its deadline. Paused time is not the job's.
void gt_job_pause(struct gt_job *job);
void gt_job_continue(struct gt_job *job);

// Kill the whole tree because the run is to end; done() follows if a request was under way.
void gt_job_stop(struct gt_job *job);

// Who did the work, for sentences: "the compiler"; of an instance GT_TEST_CLASS.
#define GT_TEST_CLASS "the test class"
const char *gt_job_worker(const struct gt_job *job);

// What the child printed during the current request, allocated; zero bytes became blanks. Call it
// in done().
char *gt_job_output(const struct gt_job *job);

// For run/host.c: a notice about a job, with the text that came with it; the host is gone and with it
// all its jobs.
void gt_job_notice(struct gt_host *host, const struct gt_notice *notice, const char *text);
void gt_job_host_gone(struct gt_host *host);

#endif // GT_RUN_JOB_H
