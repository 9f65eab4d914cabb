// Hosts, with real processes: orders and what they answer, many jobs at once, and that the loss of a
// supervisor, of the host or of the runner leaves nothing. All of it three times, once for each kind of
// isolation.
#include "host_support.h"

#include <fcntl.h>
#include <pthread.h>

// --- what becomes of processes

static void test_host_kills_supervisor(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	start_job(&h, &j, false, "session;daemon;ready;busy");
	assert_true(is_ready(folder, "ready"));
	send_order(&h, GT_ORDER_KILL, j.number, false, NULL, 0);
	struct gt_notice notice = take_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_LOST);
	assert_int_equal(notice.job, j.number);
	assert_int_equal(marked(NULL, 0), 1);
	assert_int_equal(recv(j.supervisor, &j.report, sizeof j.report, MSG_DONTWAIT), 0);
	free_job(&j);
	stop_host(&h);
}

static void test_host_is_killed(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job a, b, c;
	start_job(&h, &a, false, "session;daemon;ready a;busy");
	start_job(&h, &b, false, "deaf;many;ready b;busy");
	start_job(&h, &c, true, NULL); // an instance that waits for its first request
	assert_true(is_ready(folder, "ready a") && is_ready(folder, "ready b"));
	// The host; of each job a supervisor and a child, with the one between; what the children started.
	assert_true(marked_become(1 + 3 * (isolation.kind == GT_ISOLATION_USER ? 3 : 2) + 42));
	kill(h.pid, SIGKILL);
	int status;
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	assert_true(marked_become(0));
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
	start_job(&h, &j, false, "session;daemon;ready;busy");
	assert_true(is_ready(folder, "ready"));
	close(h.control);
	int status = -1;
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	assert_int_equal(status, 0);
	assert_true(marked_become(0));
	free_job(&j);
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
	assert_true(one_is_stopped());
	send_order(&h, GT_ORDER_KILL, j.number, false, NULL, 0);
	assert_int_equal(take_notice(&h).kind, GT_NOTICE_LOST);
	assert_int_equal(marked(NULL, 0), 1);
	free_job(&j);
	stop_host(&h);
}

// Some are lost, and with them all that they started, while another goes on undisturbed, and so does one
// that comes later.
static void test_lost_beside_others(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job lost, other, late;
	start_job(&h, &other, true, NULL);
	ask(&other, "session;daemon;{\"n\":1}", "{\"n\":1}");
	size_t before = marked(NULL, 0);
	struct gt_notice notice;
	for (unsigned i = 0; i < 10; i++) {
		start_job(&h, &lost, false, "many;ready;busy");
		if (i < 9) // somewhere on the way
			usleep(i * 10000);
		else
			assert_true(is_ready(folder, "ready"));
		send_order(&h, GT_ORDER_KILL, lost.number, false, NULL, 0);
		notice = take_notice(&h);
		assert_int_equal(notice.kind, GT_NOTICE_LOST);
		assert_int_equal(notice.job, lost.number);
		assert_int_equal(marked(NULL, 0), before);
		free_job(&lost);
		unlink_ready();
	}
	start_job(&h, &late, false, "{}");
	notice = take_notice(&h);
	assert_int_equal(notice.job, late.number);
	ask(&other, "{\"n\":2}", "{\"n\":2}");
	shutdown(other.child, SHUT_WR);
	end_job(&h, &other);
	assert_int_equal(other.report.leftovers, 2);
	free_job(&late);
	free_job(&other);
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

// A host whose runner has gone before it could be tied to it is told so.
static void test_runner_has_gone_at_the_start(void **state)
{
	(void)state;
	int answer[2], there = 1, between = 1, gone = 1;
	assert_int_equal(pipe(answer), 0);
	pid_t runner = fork();
	if (runner == 0) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
			_exit(9);
		pid_t self = getpid();
		if (fork() != 0) {
			char tied;
			close(pair[1]);
			(void)!read(pair[0], &tied, 1);
			_exit(0);
		}
		close(pair[0]);
		there = gt_host_tie(pair[1]);
		prctl(PR_SET_PDEATHSIG, 0);
		(void)!write(answer[1], &there, sizeof there);
		if (fork() == 0) { // somebody may stand between the two
			between = gt_host_tie(pair[1]);
			(void)!write(answer[1], &between, sizeof between);
			_exit(0);
		}
		wait(NULL);
		(void)!write(pair[1], "", 1);
		while (getppid() == self)
			usleep(1000);
		gone = gt_host_tie(pair[1]);
		(void)!write(answer[1], &gone, sizeof gone);
		_exit(0);
	}
	close(answer[1]);
	assert_int_equal(read(answer[0], &there, sizeof there), sizeof there);
	assert_int_equal(read(answer[0], &between, sizeof between), sizeof between);
	assert_int_equal(read(answer[0], &gone, sizeof gone), sizeof gone);
	assert_int_equal(there, 0);
	assert_int_equal(between, 0);
	assert_int_equal(gone, -1);
	assert_int_equal(waitpid(runner, NULL, 0), runner);
	close(answer[0]);
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

static int do_tests(const char *name)
{
	const struct CMUnitTest tests[] = {
		ROUND_TEST(test_host_kills_supervisor),
		ROUND_TEST(test_host_is_killed),
		ROUND_TEST(test_host_loses_runner),
		ROUND_TEST(test_supervisor_killed_by_its_job),
		ROUND_TEST(test_lost_beside_others),
		ROUND_TEST(test_many_jobs),
		ROUND_TEST(test_wrong_orders),
		ROUND_TEST(test_runner_does_not_read),
		ROUND_TEST(test_runner_has_gone_at_the_start),
		ROUND_TEST(test_second_thread),
		ROUND_TEST(test_answer),
	};
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return run_rounds(do_tests);
}
