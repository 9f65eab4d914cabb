// worker/host.h - a host: a process that has loaded one engine and forks a job per request.
//
// A host does no work itself and has one thread; a job is a supervisor (worker/supervisor.h) and a
// child. This header is also the interface of libgauntlet_worker.so, which the Python frontend
// loads, so that fork, limits and frames are written once. docs/processes.md tells the story.
#ifndef GT_WORKER_HOST_H
#define GT_WORKER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GT_EXPORT __attribute__((visibility("default")))

// Last argument of a host that is to serve one job only: it loads its engine in that job's child.
#define GT_HOST_ONCE "--once"

// What makes one host different from another. `self` is handed back on every call.
struct gt_host_ops {
	void *self;
	// NULL, or what the child of a host for one job does first: load the engine. Its limits of time and
	// memory begin when this returns; how it went is for serve() to say.
	void (*load)(void *self);
	// Serve one request in a forked child: JSON text in, JSON text out (malloc'd, in *reply; the
	// caller frees). May be called several times in one child when the job is an instance. *reply is
	// NULL before; a serve that leaves it so, for whatever happened to it, has not replied.
	void (*serve)(void *self, const char *request, char **reply);
};

// Runner to host, one SOCK_SEQPACKET message each. START carries GT_ORDER_FDS descriptors by
// SCM_RIGHTS: the supervisor's socket, the child's socket, the log file, the working folder.
#define GT_ORDER_FDS 4
enum gt_order_kind { GT_ORDER_START = 1, GT_ORDER_KILL = 2 };

#define GT_ORDER_MAGIC 0x314F5447u // "GTO1"
struct gt_order {
	uint32_t magic;
	uint32_t kind;
	uint64_t job;      // number the runner gave it
	uint64_t memory;   // limit of the tree's private memory in bytes; 0: none
	uint32_t instance; // 1: the child serves requests until its socket closes
	uint32_t reserved;
};

// Host to runner. HELLO comes once, followed in the same message by JSON text (identity, or
// {"error": sentence}). An order to start is answered by one of: STARTED, when the job's child has loaded
// what it needs; FAILED, the job could not
// be forked (`value` is errno); UNFIT, followed by half a sentence of text: the host is no longer
// what it was (`value` is a gt_surprise) and has to be replaced. LOST says that the supervisor of a
// job that had started has ended (`value` is the wait status); it follows every one.
enum gt_notice_kind {
	GT_NOTICE_HELLO = 1,
	GT_NOTICE_FAILED,
	GT_NOTICE_LOST,
	GT_NOTICE_STARTED,
	GT_NOTICE_UNFIT,
};

// What a host must not find in itself before it forks.
enum gt_surprise {
	GT_SURPRISE_NONE,
	GT_SURPRISE_THREAD,     // more than one
	GT_SURPRISE_DESCRIPTOR, // others are open than when it began
	GT_SURPRISE_MEMORY,     // it has gathered some
	GT_SURPRISE_CHILD,      // a process ended that it had not started
};

struct gt_notice {
	uint32_t magic; // GT_ORDER_MAGIC
	uint32_t kind;
	uint64_t job;
	int64_t value;
};

// The first act of a host, before it loads anything: die with the runner from now on, whatever it is doing.
// `control` is one end of a socket pair that the runner has made. 0, or -1 if the runner has gone already.
GT_EXPORT int gt_host_tie(int control);

// Tell the runner that the host is ready, or why not. 0, or -1 with errno.
GT_EXPORT int gt_host_hello(int control, const char *json);

// Serve orders until the runner goes away, to which it ties the host if nobody has. Returns the exit code
// of the host process: 0 when the runner closed the socket, 3 for a fault (a sentence is on stderr).
GT_EXPORT int gt_host_serve(int control, const struct gt_host_ops *ops);

// In a child: put what writes down the stack of a crash (worker/backtrace.h) in front of handlers
// that were installed since; they come second.
GT_EXPORT void gt_worker_catch_crashes(void);

// gt_hash_bytes() for the Python side: `out` has room for 33 bytes.
GT_EXPORT void gt_worker_hash(const void *bytes, size_t length, char *out);

#endif // GT_WORKER_HOST_H
