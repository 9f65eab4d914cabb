#include "worker/supervisor.h"

#include "base/clock.h"
#include "worker/backtrace.h"
#include "worker/capture.h"
#include "worker/frame.h"
#include "worker/host_fault.h"
#include "worker/memory.h"
#include "worker/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Exit codes of a child that could not even serve; the runner sees no frame and says so.
enum { CHILD_NO_REQUEST = 120, CHILD_NO_REPLY = 121, CHILD_NO_FOLDER = 122 };

// Descriptor of a child by which it says that it begins, until it has.
#define BEGINS_FD (GT_CHILD_FD + 1)

// How long output may still arrive after the whole tree is dead.
#define DRAIN_NS 100000000

struct supervisor {
	struct gt_job_fds fds;
	bool isolated;
	struct gt_memory memory;
	struct gt_backtrace *backtrace; // shared with the child; may be NULL
	pid_t child;
	int signals;
	int output;
	int begins; // of the child, one struct beginning; -1: it has come
	struct gt_capture capture;
	struct gt_job_report report;
	struct gt_tree_names leftovers;
	bool ended;
};

// The runner sees an ending without a result; the sentence is in the job's output.
static _Noreturn void give_up(int log, int exit_code, const char *what, const char *why)
{
	dprintf(log, "gauntlet: %s: %s\n", what, why);
	_exit(exit_code);
}

static void reset_signals(void)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	for (int s = 1; s < NSIG; s++)
		if (s != SIGXFSZ) // a limit of the user's shell must look like a full disk, not like a crash
			sigaction(s, &standard, NULL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

// The child's whole world is its folder: it may write there, and nothing of the user's is there.
static void enter_folder(int folder)
{
	char here[PATH_MAX];
	if (fchdir(folder) != 0 || !getcwd(here, sizeof here))
		give_up(2, CHILD_NO_FOLDER, "a job cannot enter its working folder", strerror(errno));
	setenv("TMPDIR", here, 1);
	setenv("HOME", here, 1);
}

static _Noreturn void serve(const struct gt_job_fds *fds, bool instance,
                            const struct gt_host_ops *ops)
{
	struct gt_err err = {0};
	do {
		char *request;
		gt_code rc = gt_frame_receive(fds->child, &request, &err);
		if (rc == GT_NOT_FOUND && instance)
			break; // the runner has no further stage for this instance
		if (rc)
			give_up(2, CHILD_NO_REQUEST, "a job got no request", err.text);
		char *reply = NULL;
		ops->serve(ops->self, request, &reply);
		fflush(NULL);
		if (!reply)
			give_up(2, CHILD_NO_REPLY, "a job cannot reply", "it has made none");
		if (gt_frame_send(fds->child, reply, strlen(reply), &err))
			give_up(2, CHILD_NO_REPLY, "a job cannot reply", err.text);
		free(reply);
		free(request);
	} while (instance);
	_exit(0);
}

// Descriptors of a child before it serves; the supervisor has the other ends.
struct child_ends {
	int output;
	int begins;
};

// What a child says that has an engine to load, or a group to enter: it begins its work.
struct beginning {
	int refused;     // errno: it cannot be put under its limit, and has not begun
	uint64_t before; // gt_memory_before()
};

static void say_beginning(const struct supervisor *s, bool loaded)
{
	struct beginning b = {.before = loaded ? gt_memory_before(&s->memory) : 0};
	if (!gt_memory_enter(&s->memory)) // without the limit that was asked for it must not run
		b.refused = errno;
	(void)!write(BEGINS_FD, &b, sizeof b);
	if (b.refused)
		_exit(1);
}

// What the child needs until it begins, and its own socket, under the numbers that they keep. Nothing else
// stays but the streams: a stray library might write into the runner's conversation or keep a pipe open.
static void keep_own(struct supervisor *s, int begins)
{
	int *own[] = {&s->fds.child, &begins, &s->memory.procs};
	int free_from = GT_CHILD_FD + (int)GT_COUNTOF(own);
	for (size_t i = 0; i < GT_COUNTOF(own); i++) // out of the way of each other first
		*own[i] = *own[i] < 0 ? -1 : fcntl(*own[i], F_DUPFD_CLOEXEC, free_from);
	for (size_t i = 0; i < GT_COUNTOF(own); i++) {
		int number = GT_CHILD_FD + (int)i;
		if (*own[i] < 0)
			close(number);
		else
			*own[i] = dup3(*own[i], number, O_CLOEXEC);
	}
	closefrom(free_from);
}

static _Noreturn void be_child(struct supervisor *s, const struct child_ends *ends,
                               pid_t supervisor, bool instance, const struct gt_host_ops *ops)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor)
		_exit(CHILD_NO_REQUEST);
	setpgid(0, 0);
	reset_signals();
	gt_backtrace_arm(s->backtrace);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	dup2(null, 0);
	dup2(ends->output, 1);
	dup2(ends->output, 2);
	enter_folder(s->fds.folder);
	keep_own(s, ends->begins);
	if (ops->load)
		ops->load(ops->self);
	say_beginning(s, ops->load != NULL);
	// What an engine has opened meanwhile stays its own.
	close(BEGINS_FD);
	if (s->memory.procs >= 0)
		close(s->memory.procs);
	serve(&s->fds, instance, ops);
}

// Without a namespace only what is our child by now is reached: orphans come to us, the subreaper,
// and each round may bring the next generation. False if that cannot be done here.
static bool kill_tree(const struct supervisor *s)
{
	if (s->isolated) {
		kill(-1, SIGKILL); // pid 1 of this namespace spares itself
		return true;
	}
	if (!s->ended)
		kill(-s->child, SIGKILL);
	return gt_tree_kill_children(NULL, NULL) >= 0;
}

static void note_end(struct supervisor *s, int status, const struct rusage *use)
{
	s->ended = true;
	s->report.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	s->report.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	s->report.user_us = use->ru_utime.tv_sec * 1000000 + use->ru_utime.tv_usec;
	s->report.system_us = use->ru_stime.tv_sec * 1000000 + use->ru_stime.tv_usec;
	s->report.max_rss_kb = use->ru_maxrss;
}

// Reap whoever has ended.
static void reap(struct supervisor *s)
{
	int status;
	struct rusage use;
	for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &use)) > 0;)
		if (pid == s->child)
			note_end(s, status, &use);
}

// Kill, count and name whoever is left, to the last one. Who ends by itself just now is none of them.
static void kill_leftovers(struct supervisor *s)
{
	for (;;) {
		bool killed = kill_tree(s);
		siginfo_t dead = {0};
		int status;
		struct rusage use;
		int rc = waitid(P_ALL, 0, &dead, WEXITED | WNOWAIT | (killed ? 0 : WNOHANG));
		if (rc != 0 && errno == EINTR)
			continue;
		if (rc != 0 || dead.si_pid == 0)
			return;
		if (dead.si_pid != s->child && dead.si_code == CLD_KILLED && dead.si_status == SIGKILL) {
			gt_tree_names_add(&s->leftovers, dead.si_pid);
			s->report.leftovers++;
		}
		if (wait4(dead.si_pid, &status, 0, &use) == s->child)
			note_end(s, status, &use);
	}
}

// A tool's helpers that were killed with it are no leak: what would have stayed nobody can tell.
static void tell_leftovers(struct supervisor *s)
{
	if (s->report.killed || s->report.out_of_memory)
		s->report.leftovers = 0;
	else
		gt_tree_names_text(&s->leftovers, s->report.leftover_names,
		                   sizeof s->report.leftover_names);
}

static bool drain(struct supervisor *s)
{
	static char chunk[65536];
	ssize_t n = read(s->output, chunk, sizeof chunk);
	if (n > 0)
		gt_capture_add(&s->capture, chunk, (size_t)n);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

// An instance prints for one request after the other; each has a first and a last line.
static void end_capture(struct supervisor *s)
{
	s->report.output_bytes += s->capture.total;
	s->report.dropped_bytes += gt_capture_end(&s->capture);
}

// The child begins its work, and its limits begin with it; or no job has run: then the runner hears that we
// are gone.
static void take_beginning(struct supervisor *s)
{
	struct beginning b = {0};
	if (s->begins < 0)
		return;
	ssize_t n = read(s->begins, &b, sizeof b);
	if (n < 0 && errno == EAGAIN)
		return;
	close(s->begins);
	s->begins = -1;
	if (s->fds.loaded >= 0) {
		(void)!write(s->fds.loaded, "", 1);
		close(s->fds.loaded);
	}
	if (n != sizeof b || !b.refused) {
		s->memory.before = b.before;
		return;
	}
	while (!s->ended && waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
		continue;
	(void)gt_memory_close(&s->memory);
	give_up(s->fds.log, 1, "a job cannot be put under its limit of memory", strerror(b.refused));
}

// True if the tree used too much: then it is killed.
static bool kill_for_memory(struct supervisor *s)
{
	if (s->begins >= 0 || !gt_memory_exceeded(&s->memory))
		return false;
	s->report.out_of_memory = 1;
	kill_tree(s);
	return true;
}

static void send_signal(long pid, bool borrows, void *number)
{
	(void)borrows;
	kill((pid_t)pid, *(int *)number);
}

// To the whole tree. Without a namespace those that left the child's group have to be looked for.
static void signal_tree(const struct supervisor *s, int number)
{
	kill(s->isolated ? -1 : -s->child, number);
	if (!s->isolated)
		gt_tree_visit(send_signal, &number);
}

// An order of the runner. False if it is to kill, or if the runner is gone. It is read in any case:
// what is left unread in a socket resets it when it closes, and costs the report.
static bool take_order(struct supervisor *s)
{
	char order = GT_ORDER_KILL_TREE;
	(void)!recv(s->fds.report, &order, 1, MSG_DONTWAIT);
	if (order == GT_ORDER_PAUSE || order == GT_ORDER_CONTINUE) {
		signal_tree(s, order == GT_ORDER_PAUSE ? SIGSTOP : SIGCONT);
		return true;
	}
	if (order != GT_ORDER_DRAIN)
		return false;
	// An instance whose helper was killed for the limit has replied, but its word is worth nothing.
	if (kill_for_memory(s))
		return true;
	static const uint32_t drained = GT_DRAINED_MAGIC;
	struct pollfd on = {.fd = s->output, .events = POLLIN};
	while (poll(&on, 1, 0) > 0 && drain(s))
		continue;
	end_capture(s);
	(void)!send(s->fds.report, &drained, sizeof drained, MSG_NOSIGNAL);
	return true;
}

// Milliseconds until the memory has to be looked at again, which is done here if it is time. A
// child that always prints something must not put that off.
static int watch_memory(struct supervisor *s, int64_t *next)
{
	int every = gt_memory_interval_ms(&s->memory);
	if (every < 0)
		return -1;
	int64_t now = gt_clock_ns();
	if (now >= *next) {
		bool first = *next == 0; // nothing has run yet
		*next = now + every * INT64_C(1000000);
		if (!first)
			(void)kill_for_memory(s);
	}
	return (int)((*next - now) / 1000000) + 1;
}

static void watch(struct supervisor *s)
{
	int64_t look = 0;
	struct pollfd on[] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->output, .events = POLLIN},
		{.fd = s->fds.report, .events = POLLIN},
		{.fd = s->fds.alive, .events = POLLIN},
		{.fd = s->begins, .events = POLLIN},
	};
	while (!s->ended) {
		on[4].fd = s->begins;
		if (poll(on, GT_COUNTOF(on), watch_memory(s, &look)) < 0) {
			if (errno == EINTR)
				continue;
			give_up(s->fds.log, 1, "a job cannot be watched", strerror(errno));
		}
		if (on[4].revents)
			take_beginning(s);
		if (on[0].revents) {
			struct signalfd_siginfo info;
			while (read(s->signals, &info, sizeof info) > 0)
				continue;
			reap(s);
		}
		if (on[1].revents && !drain(s))
			on[1].fd = -1; // the child closed its output; it may still run
		if (on[2].revents && !take_order(s)) {
			s->report.killed = 1;
			on[2].fd = -1;
			kill_tree(s);
		}
		if (on[3].revents) {
			kill_leftovers(s); // the host is gone: nobody will read a report
			(void)gt_memory_close(&s->memory);
			_exit(1);
		}
	}
	take_beginning(s); // it may have said so and ended in one moment
}

static void drain_rest(struct supervisor *s)
{
	int64_t until = gt_clock_ns() + DRAIN_NS;
	struct pollfd on = {.fd = s->output, .events = POLLIN};
	for (int64_t left; (left = until - gt_clock_ns()) > 0;) {
		if (poll(&on, 1, (int)(left / 1000000) + 1) <= 0 || !drain(s))
			return;
	}
}

static void send_report(struct supervisor *s)
{
	struct gt_buf text = {0};
	int number = s->report.signal;
	if (number)
		s->report.crash = gt_backtrace_text(s->backtrace, s->child, number, &text);
	struct iovec parts[2] = {
		{.iov_base = &s->report, .iov_len = sizeof s->report},
		{.iov_base = text.data, .iov_len = text.length},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = text.length ? 2 : 1};
	(void)!sendmsg(s->fds.report, &message, MSG_NOSIGNAL);
	gt_buf_free(&text);
}

// Nobody gives orders by signals, and the job may send any: all stay blocked, those too for which the
// host's engine has put in handlers, and the two that the C library keeps out of every mask of its
// own. Only the ends of children are read.
static int own_signals(void)
{
	static const uint64_t all = UINT64_MAX; // as the kernel counts them
	sigset_t mine;
	sigemptyset(&mine);
	sigaddset(&mine, SIGCHLD);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
	return signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void start_child(struct supervisor *s, bool instance, const struct gt_host_ops *ops)
{
	int output[2], begins[2] = {-1, -1};
	bool waits = ops->load || s->memory.procs >= 0;
	pid_t self = getpid();
	s->child = s->signals < 0 || pipe2(output, O_CLOEXEC) != 0 ||
	                           (waits && pipe2(begins, O_CLOEXEC | O_NONBLOCK) != 0)
	                   ? -1
	                   : fork();
	if (s->child < 0)
		give_up(s->fds.log, 1, "a job cannot be forked", strerror(errno));
	if (s->child == 0) {
		struct child_ends ends = {.output = output[1], .begins = begins[1]};
		be_child(s, &ends, self, instance, ops);
	}
	close(output[1]);
	if (waits)
		close(begins[1]);
	close(s->fds.child);
	close(s->fds.folder);
	s->output = output[0];
	s->begins = begins[0];
	fcntl(s->output, F_SETFL, O_NONBLOCK);
}

_Noreturn void gt_supervise(const struct gt_job_fds *fds, const struct gt_job_terms *terms,
                            const struct gt_host_ops *ops)
{
	bool isolated = terms->isolated;
	// Pid 1's death kills its namespace. Without one we have to live to kill the tree: `alive` tells,
	// and SIGCONT wakes us to read it if somebody has stopped us.
	prctl(PR_SET_PDEATHSIG, isolated ? SIGKILL : SIGCONT);
	struct pollfd host = {.fd = fds->alive};
	if (poll(&host, 1, 0) > 0)
		_exit(1);
	if (!isolated)
		prctl(PR_SET_CHILD_SUBREAPER, 1);

	struct supervisor s = {.fds = *fds, .isolated = isolated, .signals = own_signals()};
	s.report.magic = GT_REPORT_MAGIC;
	s.report.isolated = isolated;
	gt_memory_open(&s.memory, terms->memory);
	if (s.memory.procs >= 0)
		gt_host_fault(GT_MOMENT_LIMIT, s.memory.procs);
	s.backtrace = gt_backtrace_new();
	s.capture = (struct gt_capture){
		.log = fds->log, .head_max = GT_LOG_HEAD, .tail_max = GT_LOG_TAIL};
	start_child(&s, terms->instance, ops);

	watch(&s);
	kill_leftovers(&s);
	drain_rest(&s);
	if (gt_memory_close(&s.memory))
		s.report.out_of_memory = 1;
	tell_leftovers(&s);
	end_capture(&s);
	send_report(&s);
	_exit(0);
}
