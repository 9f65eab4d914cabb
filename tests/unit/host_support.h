// What the tests of hosts and supervisors share: a real host, its jobs and what they tell, and rounds
// of all tests, one for each kind of isolation.
#ifndef HOST_SUPPORT_H
#define HOST_SUPPORT_H

#include "worker_support.h"

#include "worker/host.h"
#include "worker/isolation.h"
#include "worker/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

// No test takes longer, whatever happens.
#define TEST_LIMIT_S 120
#define REPORT_LIMIT_MS (PATIENCE_S * 1000)

static char folder[] = "/tmp/gauntlet-host-XXXXXX";
static struct gt_isolation isolation; // what hosts of this round have

struct host {
	pid_t pid;
	int control;
};

struct job {
	uint64_t number;
	int supervisor, child, log;
	struct gt_job_report report;
	gt_code frame_rc;
	char *frame;
	char *output;
};

static inline struct host start_host(void)
{
	struct host h;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	h.pid = fork();
	assert_true(h.pid >= 0);
	if (h.pid == 0) {
		struct gt_host_ops ops = {.serve = serve_script};
		prctl(PR_SET_NAME, mark);
		close(pair[0]);
		_exit(gt_host_serve(pair[1], &ops));
	}
	close(pair[1]);
	h.control = pair[0];
	return h;
}

static inline void stop_host(struct host *h)
{
	int status = -1;
	close(h->control);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	assert_int_equal(status, 0);
	assert_true(marked_become(0));
}

static inline void send_order(const struct host *h, uint32_t kind, uint64_t number, bool instance,
                              const int *fds, size_t count)
{
	struct gt_order order = {
		.magic = GT_ORDER_MAGIC, .kind = kind, .job = number, .instance = instance};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control = {0};
	struct iovec part = {.iov_base = &order, .iov_len = sizeof order};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
	}
	ssize_t n;
	// While the host stands still there may be as many descriptors under way as the system allows.
	while ((n = sendmsg(h->control, &message, MSG_NOSIGNAL)) < 0 && errno == ETOOMANYREFS)
		usleep(1000);
	assert_int_equal(n, sizeof order);
}

static inline void start_job(const struct host *h, struct job *j, bool instance, const char *request)
{
	static uint64_t numbers;
	int supervisor[2], child[2];
	*j = (struct job){.number = ++numbers};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, supervisor), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, child), 0);
	j->log = memfd_create("log", MFD_CLOEXEC);
	int where = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(j->log >= 0 && where >= 0);
	if (request)
		assert_int_equal(gt_frame_send(child[0], request, strlen(request), NULL), GT_OK);
	int fds[GT_ORDER_FDS] = {supervisor[1], child[1], j->log, where};
	send_order(h, GT_ORDER_START, j->number, instance, fds, GT_ORDER_FDS);
	close(where);
	close(supervisor[1]);
	close(child[1]);
	j->supervisor = supervisor[0];
	j->child = child[0];
}

static char notice_text[128];

static inline struct gt_notice take_any_notice(const struct host *h)
{
	struct {
		struct gt_notice notice;
		char text[sizeof notice_text];
	} message = {0};
	assert_true(readable(h->control, REPORT_LIMIT_MS));
	assert_true(recv(h->control, &message, sizeof message, 0) >= (ssize_t)sizeof message.notice);
	assert_int_equal(message.notice.magic, GT_ORDER_MAGIC);
	memcpy(notice_text, message.text, sizeof notice_text - 1);
	return message.notice;
}

// The next one after those that answer orders as they should.
static inline struct gt_notice take_notice(const struct host *h)
{
	struct gt_notice notice;
	do
		notice = take_any_notice(h);
	while (notice.kind == GT_NOTICE_STARTED);
	return notice;
}

static inline void read_output(struct job *j)
{
	off_t size = lseek(j->log, 0, SEEK_END);
	j->output = gt_zalloc((size_t)size + 1, 1);
	assert_int_equal(pread(j->log, j->output, (size_t)size, 0), size);
}

// The report, then the frame, then the notice that follows every job.
static inline void end_job(const struct host *h, struct job *j)
{
	assert_true(readable(j->supervisor, REPORT_LIMIT_MS));
	assert_int_equal(recv(j->supervisor, &j->report, sizeof j->report, 0), sizeof j->report);
	assert_int_equal(j->report.magic, GT_REPORT_MAGIC);
	assert_int_equal(j->report.isolated, isolation.kind != GT_ISOLATION_NONE);
	fcntl(j->child, F_SETFL, O_NONBLOCK);
	j->frame_rc = gt_frame_receive(j->child, &j->frame, NULL);
	read_output(j);
	struct gt_notice notice = take_notice(h);
	assert_int_equal(notice.kind, GT_NOTICE_LOST);
	assert_int_equal(notice.job, j->number);
	// Of all that the job was, only the host is left.
	assert_int_equal(marked(NULL, 0), 1);
}

// What a job has made that was killed before anybody waited for it.
static inline void unlink_ready(void)
{
	char *path = gt_path_join(folder, "ready");
	(void)unlink(path);
	free(path);
}

static inline void free_job(struct job *j)
{
	close(j->supervisor);
	close(j->child);
	close(j->log);
	free(j->frame);
	free(j->output);
}

static inline void do_job(const struct host *h, struct job *j, const char *request)
{
	start_job(h, j, false, request);
	end_job(h, j);
}

static inline void ask(const struct job *j, const char *request, const char *wanted)
{
	char *reply;
	assert_int_equal(gt_frame_send(j->child, request, strlen(request), NULL), GT_OK);
	assert_true(readable(j->child, REPORT_LIMIT_MS));
	assert_int_equal(gt_frame_receive(j->child, &reply, NULL), GT_OK);
	assert_string_equal(reply, wanted);
	free(reply);
}

static inline int begin_test(void **state)
{
	(void)state;
	new_mark();
	alarm(TEST_LIMIT_S);
	return 0;
}

static inline int end_test(void **state)
{
	(void)state;
	alarm(0);
	pid_t left[64];
	size_t n = marked(left, GT_COUNTOF(left)); // after a failed assertion
	for (size_t i = 0; i < n && i < GT_COUNTOF(left); i++)
		kill(left[i], SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	return 0;
}

#define ROUND_TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

// Does this machine let us have that kind of isolation, whatever we make of it?
static inline bool is_allowed(enum gt_isolation_kind kind)
{
	int flags = kind == GT_ISOLATION_PRIVILEGED ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID;
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		char *own = gt_format("%u %u 1", geteuid(), geteuid()); // some systems forbid only this
		bool allowed = kind == GT_ISOLATION_NONE || unshare(flags) == 0;
		if (allowed && kind == GT_ISOLATION_USER)
			allowed = gt_write_all(open("/proc/self/uid_map", O_WRONLY), own, strlen(own)) == 0;
		_exit(allowed ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	return status == 0;
}

// Run the tests in hosts with that kind of isolation, if this machine allows it.
static inline int run_round(int (*do_tests)(const char *name), const char *name,
                            enum gt_isolation_kind wanted)
{
	gt_isolation_probe(&isolation);
	printf("# isolation: %s\n", gt_isolation_describe(&isolation));
	if (!is_allowed(wanted)) {
		printf("# skipped: this machine does not allow '%s'\n", name);
		return 0;
	}
	if (isolation.kind != wanted) {
		printf("# failed: this machine allows '%s'\n", name);
		return 1;
	}
	return do_tests(name);
}

// All tests three times, once for each kind of isolation; how many have failed.
static inline int run_rounds(int (*do_tests)(const char *name))
{
	int failed = 0;
	if (!mkdtemp(folder))
		return 1;
	unsetenv("GAUNTLET_ISOLATION");
	failed += run_round(do_tests, "pid namespace", GT_ISOLATION_PRIVILEGED);
	setenv("GAUNTLET_ISOLATION", "user", 1);
	failed += run_round(do_tests, "pid namespace in a user namespace", GT_ISOLATION_USER);
	setenv("GAUNTLET_ISOLATION", "none", 1);
	failed += run_round(do_tests, "process group", GT_ISOLATION_NONE);
	(void)!gt_remove_tree(folder, NULL);
	return failed;
}

#endif // HOST_SUPPORT_H
