#include "worker/host.h"

#include "base/hash.h"
#include "worker/backtrace.h"
#include "worker/health.h"
#include "worker/host_fault.h"
#include "worker/isolation.h"
#include "worker/memory.h"
#include "worker/outbox.h"
#include "worker/supervisor.h"
#include "worker/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// Exit code of a host that found a fault of its own.
#define HOST_FAULT 3

struct running {
	uint64_t job;
	pid_t pid;
	bool ended; // with `status`; the runner hears of it when nothing is left of the job
	int status;
};

struct host {
	int control;
	int signals;
	struct gt_outbox notices; // the runner may be giving orders and not reading
	int alive[2]; // the write end closes with this process, whatever ends it
	struct gt_isolation isolation;
	const struct gt_host_ops *ops;
	struct gt_health health; // when it began
	bool stranger;           // somebody ended whom it had not started
	struct running *running;
	size_t running_count;
	int loading; // read end of the pipe by which the only job says that it has loaded its engine; -1
	uint64_t loading_job;
};

void gt_worker_hash(const void *bytes, size_t length, char *out)
{
	gt_hash_bytes(bytes, length, out);
}

int gt_host_tie(int control)
{
	struct ucred runner;
	socklen_t size = sizeof runner;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	// No signal comes for a death that has been: then our parent is not who made the socket. A script that
	// has started us for the runner is not either; while that lives its end of the socket is open.
	if (getsockopt(control, SOL_SOCKET, SO_PEERCRED, &runner, &size) == 0 && runner.pid == getppid())
		return 0;
	struct pollfd on = {.fd = control};
	return poll(&on, 1, 0) == 0 ? 0 : -1;
}

int gt_host_hello(int control, const char *json)
{
	struct gt_notice notice = {.magic = GT_ORDER_MAGIC, .kind = GT_NOTICE_HELLO};
	struct iovec parts[2] = {
		{.iov_base = &notice, .iov_len = sizeof notice},
		{.iov_base = (void *)(uintptr_t)json, .iov_len = strlen(json)},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	gt_host_fault(GT_MOMENT_HELLO, control);
	return sendmsg(control, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static void notify(struct host *h, enum gt_notice_kind kind, uint64_t job, int64_t value)
{
	struct gt_notice notice = {
		.magic = GT_ORDER_MAGIC, .kind = kind, .job = job, .value = value};
	gt_outbox_send(&h->notices, &notice, sizeof notice, NULL, 0);
}

// A host that is not what it was forks no more. Returns true if it is, else says why to the runner.
static bool is_fit(struct host *h, uint64_t job, const int *fds, int count)
{
	char text[128] = "a process ended that it had not started";
	struct gt_health now;
	enum gt_surprise surprise = GT_SURPRISE_CHILD;
	if (!h->stranger) {
		gt_health_take(&now, fds, (size_t)count);
		surprise = gt_health_compare(&h->health, &now, text, sizeof text);
	}
	if (!surprise && count < GT_ORDER_FDS) { // the system drops what finds no room
		surprise = GT_SURPRISE_DESCRIPTOR;
		snprintf(text, sizeof text, "it has no room for the descriptors of a job");
	}
	struct gt_notice notice = {.magic = GT_ORDER_MAGIC, .kind = GT_NOTICE_UNFIT, .job = job,
	                           .value = surprise};
	if (surprise)
		gt_outbox_send(&h->notices, &notice, sizeof notice, text, strlen(text));
	return !surprise;
}

static void start_job(struct host *h, const struct gt_order *order, const int fds[GT_ORDER_FDS])
{
	struct gt_job_fds job = {.report = fds[0], .child = fds[1], .log = fds[2],
	                         .folder = fds[3], .alive = h->alive[0], .loaded = -1};
	int loaded[2] = {-1, -1};
	pid_t pid = -1;
	if (!h->ops->load || pipe2(loaded, O_CLOEXEC) == 0)
		pid = gt_isolation_fork(&h->isolation);
	int why = errno;
	if (pid != 0 && loaded[1] >= 0)
		close(loaded[1]);
	if (pid < 0) {
		if (loaded[0] >= 0)
			close(loaded[0]);
		notify(h, GT_NOTICE_FAILED, order->job, why);
		return;
	}
	if (pid == 0) {
		job.loaded = loaded[1];
		close(h->alive[1]);
		close(h->control);
		struct gt_job_terms terms = {
			.instance = order->instance != 0,
			.isolated = h->isolation.kind != GT_ISOLATION_NONE,
			.memory = order->memory,
		};
		gt_supervise(&job, &terms, h->ops);
	}
	h->running = realloc(h->running, (h->running_count + 1) * sizeof *h->running);
	if (!h->running)
		abort();
	h->running[h->running_count++] = (struct running){.job = order->job, .pid = pid};
	h->loading = loaded[0];
	h->loading_job = order->job;
	if (h->loading < 0)
		notify(h, GT_NOTICE_STARTED, order->job, 0);
	gt_host_fault(GT_MOMENT_FORKED, h->control);
}

// The job has loaded its engine, or is gone.
static void note_loaded(struct host *h)
{
	close(h->loading);
	h->loading = -1;
	notify(h, GT_NOTICE_STARTED, h->loading_job, 0);
}

static void kill_job(const struct host *h, uint64_t job)
{
	for (size_t i = 0; i < h->running_count; i++)
		if (h->running[i].job == job && !h->running[i].ended)
			kill(h->running[i].pid, SIGKILL);
}

static bool is_supervisor(const void *user, pid_t pid)
{
	const struct host *h = user;
	for (size_t i = 0; i < h->running_count; i++)
		if (h->running[i].pid == pid && !h->running[i].ended)
			return true;
	return false;
}

// One that ended by itself has left nothing, and no namespace outlives its first process. That one is
// the supervisor; in a user namespace it is what its go-between may leave.
static bool may_leave_orphans(const struct host *h)
{
	for (size_t i = 0; i < h->running_count; i++)
		if (h->running[i].ended && h->running[i].status != 0)
			return h->isolation.kind != GT_ISOLATION_PRIVILEGED;
	return false;
}

// A supervisor has ended, or an orphan that came to us: always after the one that has left it.
static void note_end(struct host *h, pid_t pid, int status)
{
	for (size_t i = 0; i < h->running_count; i++) {
		if (h->running[i].pid != pid || h->running[i].ended)
			continue;
		h->running[i].ended = true;
		h->running[i].status = status;
		return;
	}
	if (!may_leave_orphans(h))
		h->stranger = true;
}

// Tell the runner whose supervisors have ended. It may have no other work for us and kill us at once.
static void tell_ends(struct host *h)
{
	bool sweep = false;
	for (size_t i = 0; i < h->running_count;) {
		struct running *r = &h->running[i];
		if (!r->ended) {
			i++;
			continue;
		}
		sweep = sweep || r->status != 0; // it could not do its work to the end
		if (h->loading >= 0 && h->loading_job == r->job)
			note_loaded(h);
		notify(h, GT_NOTICE_LOST, r->job, r->status);
		gt_host_fault(GT_MOMENT_ENDED, h->control);
		*r = h->running[--h->running_count];
	}
	if (sweep)
		gt_memory_sweep();
}

static void reap_supervisors(struct host *h)
{
	struct signalfd_siginfo info;
	while (read(h->signals, &info, sizeof info) > 0)
		continue;
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		note_end(h, pid, status);
	// Whom an orphan leaves comes to us before its own end does: nobody is left if none is here. Else
	// the end of one that is killed now calls us again.
	if (!may_leave_orphans(h) || gt_tree_kill_children(is_supervisor, h) <= 0)
		tell_ends(h);
}

// Take the descriptors of a message; returns how many there were.
static int take_fds(struct msghdr *message, int fds[GT_ORDER_FDS])
{
	int count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		int n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (int i = 0; i < n && count < GT_ORDER_FDS; i++)
			memcpy(&fds[count++], CMSG_DATA(c) + (size_t)i * sizeof(int), sizeof(int));
	}
	return count;
}

// Handle one order. Returns false at the end of the conversation.
static bool take_order(struct host *h, int *exit_code)
{
	struct gt_order order = {0};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * GT_ORDER_FDS)];
	} control = {0};
	struct iovec part = {.iov_base = &order, .iov_len = sizeof order};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
	                         .msg_controllen = sizeof control};
	ssize_t n = recvmsg(h->control, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0)
		return false;
	int fds[GT_ORDER_FDS];
	int count = take_fds(&message, fds);
	bool good = n == sizeof order && order.magic == GT_ORDER_MAGIC;
	if (good && order.kind == GT_ORDER_START) {
		gt_host_fault(GT_MOMENT_ORDER, h->control);
		if (is_fit(h, order.job, fds, count))
			start_job(h, &order, fds);
	} else if (good && order.kind == GT_ORDER_KILL) {
		kill_job(h, order.job);
	} else {
		good = false;
	}
	for (int i = 0; i < count; i++)
		close(fds[i]);
	if (!good) {
		fprintf(stderr, "gauntlet host: %zd bytes arrived that are no order\n", n);
		*exit_code = HOST_FAULT;
	}
	return good;
}

static bool prepare(struct host *h)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	// 0 forbids files only; 1 byte, too little for a file, also keeps the kernel from starting a
	// program that collects what crashes.
	struct rlimit no_cores = {1, 1}, no_files = {0, 0};
	if (setrlimit(RLIMIT_CORE, &no_cores) != 0)
		setrlimit(RLIMIT_CORE, &no_files);
	sigset_t mine;
	sigemptyset(&mine);
	sigaddset(&mine, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mine, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	// A terminal's Ctrl-C goes to the runner, which decides what becomes of the jobs.
	signal(SIGINT, SIG_IGN);
	h->signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	fcntl(h->control, F_SETFD, FD_CLOEXEC);
	return h->signals >= 0 && pipe2(h->alive, O_CLOEXEC) == 0;
}

int gt_host_serve(int control, const struct gt_host_ops *ops)
{
	struct host h = {.control = control, .notices.fd = control, .ops = ops, .loading = -1};
	if (gt_host_tie(control) != 0)
		return 0;
	if (!prepare(&h)) {
		fprintf(stderr, "gauntlet host: cannot start: %s\n", strerror(errno));
		return HOST_FAULT;
	}
	gt_isolation_probe(&h.isolation);
	gt_backtrace_warm_up();
	if (h.isolation.kind != GT_ISOLATION_PRIVILEGED)
		prctl(PR_SET_CHILD_SUBREAPER, 1); // orphans of a supervisor, or of a go-between, that was killed
	gt_health_take(&h.health, NULL, 0);
	int exit_code = 0;
	struct pollfd on[] = {
		{.fd = h.control, .events = POLLIN},
		{.fd = h.signals, .events = POLLIN},
		{.fd = -1, .events = POLLIN},
	};
	for (bool more = true; more;) {
		on[0].events = gt_outbox_waits(&h.notices) ? POLLIN | POLLOUT : POLLIN;
		on[2].fd = h.loading;
		if (poll(on, GT_COUNTOF(on), -1) < 0) {
			if (errno == EINTR)
				continue;
			fprintf(stderr, "gauntlet host: cannot wait for orders: %s\n", strerror(errno));
			exit_code = HOST_FAULT;
			break;
		}
		if (on[2].revents)
			note_loaded(&h);
		if (on[1].revents)
			reap_supervisors(&h);
		if (on[0].revents & POLLOUT)
			gt_outbox_flush(&h.notices);
		if (on[0].revents & ~POLLOUT)
			more = take_order(&h, &exit_code);
	}
	free(h.running);
	return exit_code;
}
