// Hosts and supervisors, with real processes: what a job reports however its child ends, and that
// no process is left. All of it three times, once for each kind of isolation.
#include "worker_support.h"

#include "worker/host.h"
#include "worker/isolation.h"
#include "worker/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

// No test takes longer, whatever happens.
#ifdef __SANITIZE_ADDRESS__ // a fork takes many times as long
#define TEST_LIMIT_S 100
#else
#define TEST_LIMIT_S 20
#endif
#define REPORT_LIMIT_MS 5000

static char folder[] = "/tmp/gauntlet-supervisor-XXXXXX";
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

static struct host start_host(void)
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

static void stop_host(struct host *h)
{
	int status = -1;
	close(h->control);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	assert_int_equal(status, 0);
	assert_true(marked_become(0, 2));
}

static void send_order(const struct host *h, uint32_t kind, uint64_t number, bool instance,
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
	assert_int_equal(sendmsg(h->control, &message, MSG_NOSIGNAL), sizeof order);
}

static void start_job(const struct host *h, struct job *j, bool instance, const char *request)
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

static struct gt_notice take_any_notice(const struct host *h)
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
static struct gt_notice take_notice(const struct host *h)
{
	struct gt_notice notice;
	do
		notice = take_any_notice(h);
	while (notice.kind == GT_NOTICE_STARTED);
	return notice;
}

static void read_output(struct job *j)
{
	off_t size = lseek(j->log, 0, SEEK_END);
	j->output = gt_zalloc((size_t)size + 1, 1);
	assert_int_equal(pread(j->log, j->output, (size_t)size, 0), size);
}

// The report, then the frame, then the notice that follows every job.
static void end_job(const struct host *h, struct job *j)
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

static void free_job(struct job *j)
{
	close(j->supervisor);
	close(j->child);
	close(j->log);
	free(j->frame);
	free(j->output);
}

static void do_job(const struct host *h, struct job *j, const char *request)
{
	start_job(h, j, false, request);
	end_job(h, j);
}

static void ask(const struct job *j, const char *request, const char *wanted)
{
	char *reply;
	assert_int_equal(gt_frame_send(j->child, request, strlen(request), NULL), GT_OK);
	assert_true(readable(j->child, REPORT_LIMIT_MS));
	assert_int_equal(gt_frame_receive(j->child, &reply, NULL), GT_OK);
	assert_string_equal(reply, wanted);
	free(reply);
}

// --- endings

static void test_reply(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "print hello;{\"ok\":true,\"n\":1}");
	assert_int_equal(j.frame_rc, GT_OK);
	assert_string_equal(j.frame, "{\"ok\":true,\"n\":1}");
	assert_string_equal(j.output, "hello\n");
	assert_int_equal(j.report.exit_code, 0);
	assert_int_equal(j.report.signal, 0);
	assert_int_equal(j.report.killed, 0);
	assert_int_equal(j.report.leftovers, 0);
	assert_int_equal(j.report.output_bytes, 6);
	assert_int_equal(j.report.dropped_bytes, 0);
	assert_true(j.report.max_rss_kb > 0);
	free_job(&j);
	stop_host(&h);
}

static void test_exit_without_reply(void **state)
{
	(void)state;
	struct host h = start_host();
	static const int codes[] = {0, 7, 255};
	for (size_t i = 0; i < GT_COUNTOF(codes); i++) {
		struct job j;
		char *request = gt_format("exit %d", codes[i]);
		do_job(&h, &j, request);
		assert_int_equal(j.frame_rc, GT_NOT_FOUND);
		assert_int_equal(j.report.exit_code, codes[i]);
		assert_int_equal(j.report.signal, 0);
		free_job(&j);
		free(request);
	}
	stop_host(&h);
}

static void test_signals(void **state)
{
	(void)state;
	static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS,
	                              SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGPIPE, SIGALRM, SIGTERM,
	                              SIGXCPU, SIGSYS, 40};
	struct host h = start_host();
	for (size_t i = 0; i < GT_COUNTOF(numbers); i++) {
		struct job j;
		char *request = gt_format("print before;raise %d", numbers[i]);
		do_job(&h, &j, request);
		assert_int_equal(j.report.signal, numbers[i]);
		assert_int_equal(j.report.exit_code, -1);
		assert_int_equal(j.report.killed, 0);
		assert_int_equal(j.frame_rc, GT_NOT_FOUND);
		free_job(&j);
		free(request);
	}
	struct job j;
	do_job(&h, &j, "abort");
	assert_int_equal(j.report.signal, SIGABRT);
	free_job(&j);
	do_job(&h, &j, "segfault");
	assert_int_equal(j.report.signal, SIGSEGV);
	free_job(&j);
	stop_host(&h);
}

// A limit of the user's shell on files is told by the call that meets it.
static void test_limit_on_files(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	char *request = gt_format("raise %d", SIGXFSZ);
	do_job(&h, &j, request);
	assert_int_equal(j.report.signal, 0);
	assert_int_equal(j.frame_rc, GT_OK);
	free_job(&j);
	free(request);
	stop_host(&h);
}

static void test_garbage(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "garbage");
	assert_int_equal(j.frame_rc, GT_BAD_DATA); // the reply came too late
	assert_int_equal(j.report.exit_code, 0);
	free_job(&j);
	do_job(&h, &j, "say this is not JSON");
	assert_int_equal(j.frame_rc, GT_OK); // a frame all the same; who reads it will see
	assert_string_equal(j.frame, "this is not JSON");
	free_job(&j);
	stop_host(&h);
}

static void test_reply_too_long(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "long");
	assert_int_equal(j.frame_rc, GT_NOT_FOUND);
	assert_true(j.report.exit_code != 0);
	assert_non_null(strstr(j.output, "longer than the limit"));
	free_job(&j);
	stop_host(&h);
}

static void test_reply_then_crash(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "reply;segfault");
	assert_int_equal(j.frame_rc, GT_OK);
	assert_int_equal(j.report.signal, SIGSEGV);
	free_job(&j);
	stop_host(&h);
}

static void test_closed_descriptors(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "close;exit 5");
	assert_int_equal(j.frame_rc, GT_NOT_FOUND);
	assert_int_equal(j.report.exit_code, 5);
	free_job(&j);
	do_job(&h, &j, "close"); // its reply finds no socket
	assert_int_equal(j.frame_rc, GT_NOT_FOUND);
	assert_true(j.report.exit_code != 0);
	free_job(&j);
	stop_host(&h);
}

static void test_flood(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "print first line;flood;print last line");
	assert_int_equal(j.frame_rc, GT_OK);
	assert_true(j.report.output_bytes > 10u << 20);
	assert_int_equal(j.report.dropped_bytes,
	                 j.report.output_bytes - GT_LOG_HEAD - GT_LOG_TAIL);
	assert_true(strlen(j.output) < GT_LOG_HEAD + GT_LOG_TAIL + 100);
	assert_non_null(strstr(j.output, "bytes left out"));
	assert_string_equal(j.output + strlen(j.output) - 10, "last line\n");
	free_job(&j);
	stop_host(&h);
}

static void test_world_of_the_child(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "descriptors");
	assert_string_equal(j.frame, "0 1 2 3 ");
	free_job(&j);
	do_job(&h, &j, "where");
	char *wanted = gt_format("%s %s %s", folder, folder, folder);
	assert_string_equal(j.frame, wanted);
	free(wanted);
	free_job(&j);
	stop_host(&h);
}

// --- process trees

static void test_leftovers(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	// They hold the output open; the job ends all the same.
	do_job(&h, &j, "session");
	assert_int_equal(j.frame_rc, GT_OK);
	assert_int_equal(j.report.exit_code, 0);
	assert_int_equal(j.report.leftovers, 1);
	free_job(&j);
	do_job(&h, &j, "session;daemon;deaf;session;exit 3");
	assert_int_equal(j.report.exit_code, 3);
	assert_int_equal(j.report.leftovers, 3);
	free_job(&j);
	do_job(&h, &j, "many;segfault");
	assert_int_equal(j.report.signal, SIGSEGV);
	assert_int_equal(j.report.leftovers, 40);
	free_job(&j);
	stop_host(&h);
}

static void test_kill_on_order(void **state)
{
	(void)state;
	static const char *const scripts[] = {"busy", "deaf;busy", "stop", "session;daemon;busy",
	                                      "many;busy", "close;busy"};
	struct host h = start_host();
	for (size_t i = 0; i < GT_COUNTOF(scripts); i++) {
		struct job j;
		start_job(&h, &j, false, scripts[i]);
		usleep(50000);
		int64_t began = gt_clock_ns();
		assert_int_equal(send(j.supervisor, "k", 1, 0), 1);
		// The order lies unread in the socket when it closes, or not: the report comes first.
		end_job(&h, &j);
		assert_true(gt_clock_ns() - began < 2000000000);
		assert_int_equal(j.report.killed, 1);
		assert_int_equal(j.report.signal, SIGKILL);
		free_job(&j);
	}
	stop_host(&h);
}

static void test_runner_goes(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	start_job(&h, &j, false, "session;daemon;busy");
	usleep(50000);
	close(j.supervisor); // as if the runner had died
	struct gt_notice notice = take_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_LOST);
	assert_int_equal(marked(NULL, 0), 1);
	close(j.child);
	close(j.log);
	stop_host(&h);
}

static void test_host_kills_supervisor(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	start_job(&h, &j, false, "session;daemon;busy");
	usleep(50000);
	send_order(&h, GT_ORDER_KILL, j.number, false, NULL, 0);
	struct gt_notice notice = take_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_LOST);
	assert_int_equal(notice.job, j.number);
	assert_true(marked_become(1, 1));
	assert_int_equal(recv(j.supervisor, &j.report, sizeof j.report, MSG_DONTWAIT), 0);
	free_job(&j);
	stop_host(&h);
}

static void test_host_is_killed(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job a, b, c;
	start_job(&h, &a, false, "session;daemon;busy");
	start_job(&h, &b, false, "deaf;many;busy");
	start_job(&h, &c, true, NULL); // an instance that waits for its first request
	usleep(100000);
	assert_true(marked(NULL, 0) > 6);
	kill(h.pid, SIGKILL);
	int status;
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	assert_true(marked_become(0, 1));
	free_job(&a);
	free_job(&b);
	free_job(&c);
	close(h.control);
}

static void test_host_loses_runner(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	start_job(&h, &j, false, "session;daemon;busy");
	usleep(50000);
	close(h.control);
	int status = -1;
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	assert_int_equal(status, 0);
	assert_true(marked_become(0, 1));
	free_job(&j);
}

// A job may send its supervisor what it likes: it goes on, and so does the watch over it.
static void test_signals_for_the_supervisor(void **state)
{
	(void)state;
	struct host h = start_host();
	for (int number = 1; number < NSIG; number++) {
		bool stops = number == SIGKILL || number == SIGSTOP; // who has no namespace has to bear it
		if (stops && isolation.kind == GT_ISOLATION_NONE)
			continue;
		struct job j;
		char *request = gt_format("session;supervisor %d;wink;print after;{\"n\":1}", number);
		do_job(&h, &j, request);
		if (j.report.signal || j.report.leftovers != 1)
			fail_msg("signal %d for the supervisor: the child ended by %d, %u left", number,
			         j.report.signal, j.report.leftovers);
		assert_int_equal(j.frame_rc, GT_OK);
		assert_string_equal(j.frame, "{\"n\":1}");
		assert_string_equal(j.output, "after\n");
		assert_int_equal(j.report.exit_code, 0);
		assert_int_equal(j.report.killed, 0);
		free_job(&j);
		free(request);
	}
	stop_host(&h);
}

// Without a namespace a job can kill or stop its supervisor: that costs its own job and leaves nothing.
// The runner may kill the host when it hears that the job is lost, so everybody is dead by then.
static void test_supervisor_killed_by_its_job(void **state)
{
	(void)state;
	if (isolation.kind != GT_ISOLATION_NONE)
		return;
	struct host h = start_host();
	struct job j;
	for (int i = 0; i < 20; i++) {
		start_job(&h, &j, false, i % 2 ? "many;supervisor 9;busy" : "daemon;supervisor 9;busy");
		assert_int_equal(take_notice(&h).kind, GT_NOTICE_LOST);
		assert_int_equal(marked(NULL, 0), 1);
		free_job(&j);
	}
	start_job(&h, &j, false, "session;daemon;supervisor 19;busy");
	usleep(50000);
	send_order(&h, GT_ORDER_KILL, j.number, false, NULL, 0);
	assert_int_equal(take_notice(&h).kind, GT_NOTICE_LOST);
	assert_int_equal(marked(NULL, 0), 1);
	free_job(&j);
	stop_host(&h);
}

// One is lost, another goes on undisturbed meanwhile, and so do those that come.
static void test_lost_beside_others(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job lost, other, late;
	start_job(&h, &other, true, NULL);
	ask(&other, "session;daemon;{\"n\":1}", "{\"n\":1}");
	start_job(&h, &lost, false, "many;busy");
	usleep(100000);
	send_order(&h, GT_ORDER_KILL, lost.number, false, NULL, 0);
	struct gt_notice notice = take_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_LOST);
	assert_int_equal(notice.job, lost.number);
	start_job(&h, &late, false, "{}");
	notice = take_notice(&h);
	assert_int_equal(notice.job, late.number);
	ask(&other, "{\"n\":2}", "{\"n\":2}");
	shutdown(other.child, SHUT_WR);
	end_job(&h, &other);
	assert_int_equal(other.report.leftovers, 2);
	free_job(&lost);
	free_job(&late);
	free_job(&other);
	stop_host(&h);
}

// Stopped, by its job or from outside, it dies with its host all the same, and takes all along.
static void test_stopped_supervisor(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	pid_t pids[64];
	start_job(&h, &j, false, "session;daemon;busy");
	usleep(100000);
	size_t n = marked(pids, GT_COUNTOF(pids));
	for (size_t i = 0; i < n && i < GT_COUNTOF(pids); i++)
		if (parent_of(pids[i]) == h.pid)
			kill(pids[i], SIGSTOP);
	usleep(20000);
	kill(h.pid, SIGKILL);
	assert_int_equal(waitpid(h.pid, NULL, 0), h.pid);
	assert_true(marked_become(0, 1));
	free_job(&j);
	close(h.control);
}

// --- instances

static void test_instance(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	start_job(&h, &j, true, NULL);
	ask(&j, "print one;{\"n\":1}", "{\"n\":1}");
	ask(&j, "print two;{\"n\":2}", "{\"n\":2}");
	assert_false(readable(j.supervisor, 20));
	shutdown(j.child, SHUT_WR); // nothing more to do
	end_job(&h, &j);
	assert_int_equal(j.report.exit_code, 0);
	assert_string_equal(j.output, "one\ntwo\n");
	free_job(&j);

	start_job(&h, &j, true, NULL);
	ask(&j, "session;{\"n\":1}", "{\"n\":1}");
	assert_int_equal(gt_frame_send(j.child, "abort", 5, NULL), GT_OK);
	end_job(&h, &j);
	assert_int_equal(j.report.signal, SIGABRT);
	assert_int_equal(j.report.leftovers, 1);
	free_job(&j);
	stop_host(&h);
}

// --- many jobs, wrong orders

static void test_many_jobs(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j[8];
	do_job(&h, &j[0], "{}");
	free_job(&j[0]);
	size_t before = descriptors_of(h.pid);
	assert_true(before > 0);
	for (int round = 0; round < 15; round++) {
		for (size_t i = 0; i < GT_COUNTOF(j); i++)
			start_job(&h, &j[i], false, i % 2 ? "{\"odd\":1}" : "abort");
		for (size_t i = 0; i < GT_COUNTOF(j); i++) {
			assert_true(readable(j[i].supervisor, REPORT_LIMIT_MS));
			struct gt_job_report r;
			assert_int_equal(recv(j[i].supervisor, &r, sizeof r, 0), sizeof r);
			assert_int_equal(r.signal, i % 2 ? 0 : SIGABRT);
		}
		for (size_t i = 0; i < GT_COUNTOF(j); i++) {
			assert_int_equal(take_notice(&h).kind, GT_NOTICE_LOST);
			free_job(&j[i]);
		}
	}
	assert_int_equal(descriptors_of(h.pid), before);
	stop_host(&h);
}

static void test_wrong_orders(void **state)
{
	(void)state;
	int status = -1;
	struct host h = start_host();
	send_order(&h, GT_ORDER_KILL, 4711, false, NULL, 0); // a job that is over
	send_order(&h, GT_ORDER_START, 1, false, NULL, 0);   // without descriptors
	struct gt_notice notice = take_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_UNFIT);
	assert_int_equal(notice.job, 1);
	assert_int_equal(notice.value, GT_SURPRISE_DESCRIPTOR);
	assert_string_equal(notice_text, "it has no room for the descriptors of a job");
	assert_int_equal(send(h.control, "garbage", 7, 0), 7);
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	close(h.control);
}

// A runner that gives one order after the other and reads nothing meanwhile gets them all done, and all
// notices, in the end: the host does not wait for it.
static void test_runner_does_not_read(void **state)
{
	(void)state;
	enum { JOBS = 600 }; // their notices are more than a socket holds
	struct host h = start_host();
	int supervisor[2], child[2], log = memfd_create("log", MFD_CLOEXEC);
	int where = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, supervisor), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, child), 0);
	close(supervisor[0]); // which ends every job as soon as it begins
	int fds[GT_ORDER_FDS] = {supervisor[1], child[1], log, where};
	for (uint64_t i = 0; i < JOBS; i++)
		send_order(&h, GT_ORDER_START, i, false, fds, GT_ORDER_FDS);
	bool seen[JOBS] = {false};
	for (size_t ended = 0; ended < JOBS;) {
		struct gt_notice notice = take_notice(&h);
		if (notice.kind != GT_NOTICE_LOST)
			continue;
		assert_true(notice.job < JOBS && !seen[notice.job]);
		seen[notice.job] = true;
		ended++;
	}
	int ours[] = {supervisor[1], child[0], child[1], log, where};
	for (size_t i = 0; i < GT_COUNTOF(ours); i++)
		close(ours[i]);
	stop_host(&h);
}

static void test_second_thread(void **state)
{
	(void)state;
	int pair[2];
	struct job j;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	struct host h = {.pid = fork(), .control = pair[0]};
	if (h.pid == 0) {
		struct gt_host_ops ops = {.serve = serve_script};
		pthread_t thread;
		prctl(PR_SET_NAME, mark);
		pthread_create(&thread, NULL, sleep_for_ever, NULL);
		close(pair[0]);
		_exit(gt_host_serve(pair[1], &ops));
	}
	close(pair[1]);
	start_job(&h, &j, false, "{}");
	struct gt_notice notice = take_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_UNFIT);
	assert_int_equal(notice.job, j.number);
	assert_int_equal(notice.value, GT_SURPRISE_THREAD);
	assert_string_equal(notice_text, "it runs 2 threads");
	free_job(&j);
	stop_host(&h);
}

// An order is answered before anything is heard of its job.
static void test_answer(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	start_job(&h, &j, false, "busy");
	struct gt_notice notice = take_any_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_STARTED);
	assert_int_equal(notice.job, j.number);
	send_order(&h, GT_ORDER_KILL, j.number, false, NULL, 0);
	assert_int_equal(take_any_notice(&h).kind, GT_NOTICE_LOST);
	free_job(&j);
	stop_host(&h);
}

// --- rounds

static int begin_test(void **state)
{
	(void)state;
	new_mark();
	alarm(TEST_LIMIT_S);
	return 0;
}

static int end_test(void **state)
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

static int run_round(const char *name, enum gt_isolation_kind wanted)
{
	const struct CMUnitTest tests[] = {
		ROUND_TEST(test_reply),
		ROUND_TEST(test_exit_without_reply),
		ROUND_TEST(test_signals),
		ROUND_TEST(test_limit_on_files),
		ROUND_TEST(test_garbage),
		ROUND_TEST(test_reply_too_long),
		ROUND_TEST(test_reply_then_crash),
		ROUND_TEST(test_closed_descriptors),
		ROUND_TEST(test_flood),
		ROUND_TEST(test_world_of_the_child),
		ROUND_TEST(test_leftovers),
		ROUND_TEST(test_kill_on_order),
		ROUND_TEST(test_runner_goes),
		ROUND_TEST(test_host_kills_supervisor),
		ROUND_TEST(test_host_is_killed),
		ROUND_TEST(test_host_loses_runner),
		ROUND_TEST(test_signals_for_the_supervisor),
		ROUND_TEST(test_supervisor_killed_by_its_job),
		ROUND_TEST(test_lost_beside_others),
		ROUND_TEST(test_stopped_supervisor),
		ROUND_TEST(test_instance),
		ROUND_TEST(test_many_jobs),
		ROUND_TEST(test_wrong_orders),
		ROUND_TEST(test_runner_does_not_read),
		ROUND_TEST(test_second_thread),
		ROUND_TEST(test_answer),
	};
	gt_isolation_probe(&isolation);
	printf("# isolation: %s\n", gt_isolation_describe(&isolation));
	if (isolation.kind != wanted) {
		printf("# skipped: this machine does not allow '%s'\n", name);
		return 0;
	}
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	int failed = 0;
	if (!mkdtemp(folder))
		return 1;
	unsetenv("GAUNTLET_ISOLATION");
	failed += run_round("pid namespace", GT_ISOLATION_PRIVILEGED);
	setenv("GAUNTLET_ISOLATION", "user", 1);
	failed += run_round("pid namespace in a user namespace", GT_ISOLATION_USER);
	setenv("GAUNTLET_ISOLATION", "none", 1);
	failed += run_round("process group", GT_ISOLATION_NONE);
	(void)!gt_remove_tree(folder, NULL);
	return failed;
}
