// The runner's side of hosts, with real processes: how they start, what they tell, and when they go.
#include "loop_support.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void test_refusing_host(void **state)
{
	(void)state;
	start_host(REFUSING);
	assert_true(run_until_state(GT_HOST_FAILED));
	assert_string_equal(host.failure, "no such library");
}

static void test_dying_host(void **state)
{
	(void)state;
	start_host(DYING);
	assert_true(run_until_state(GT_HOST_FAILED));
	assert_string_equal(host.failure,
	                    "the reference host ended before it was ready: and this is why");
	assert_true(host.said);
	// It may be tried again.
	struct gt_err err = {0};
	assert_int_equal(gt_host_start(&host, &loop, &tools, &err), GT_OK);
	assert_true(run_until_state(GT_HOST_FAILED));
}

static void test_silent_host(void **state)
{
	(void)state;
	host = (struct gt_host){.kind = SILENT, .changed = on_changed, .control = -1, .log = -1,
	                        .patience_s = 0.1};
	assert_int_equal(gt_host_start(&host, &loop, &tools, NULL), GT_OK);
	assert_true(run_until_state(GT_HOST_FAILED));
	assert_string_equal(host.failure, "the runtime host was not ready within 0.1 s");
	assert_true(marked_become(0));
	gt_host_free(&host);
	// One that is stopped while it starts does not keep us waiting.
	start_host(SILENT);
	gt_host_stop(&host);
	uv_run(&loop, UV_RUN_DEFAULT); // this test's own limit is less than the patience
	assert_true(marked_become(0));
}

static void test_no_program(void **state)
{
	(void)state;
	struct gt_err err = {0};
	host = (struct gt_host){.kind = GT_HOST_FRONTEND, .changed = on_changed, .control = -1,
	                        .log = -1};
	assert_int_equal(gt_host_start(&host, &loop, &tools, &err), GT_NOT_FOUND);
	assert_non_null(strstr(err.text, "the Python frontend is not there"));
	tools.python = gt_strdup("/nonexistent/python");
	tools.frontend_folder = gt_strdup("/nonexistent");
	tools.worker_library = gt_strdup("/nonexistent");
	assert_int_equal(gt_host_start(&host, &loop, &tools, &err), GT_IO);
	assert_non_null(strstr(err.text, "cannot start '/nonexistent/python': no such file"));
	assert_true(run_until_state(GT_HOST_FAILED));
	assert_int_equal(gt_host_start(&host, &loop, &tools, &err), GT_IO);
	assert_true(run_until_state(GT_HOST_FAILED));
}

// What the system has no more of is nobody's fault, wherever in the start it is missed.
static void test_no_descriptor_left(void **state)
{
	(void)state;
	struct gt_err err = {0};
	struct rlimit limit, less;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	less = limit;
	int free_one = dup(0), refused = 0;
	close(free_one);
	for (less.rlim_cur = (rlim_t)free_one;; less.rlim_cur++, refused++) {
		host = (struct gt_host){.kind = GOOD, .changed = on_changed, .control = -1, .log = -1};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
		gt_code rc = gt_host_start(&host, &loop, &tools, &err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (!rc)
			break;
		assert_int_equal(rc, GT_NO_MEMORY);
		assert_non_null(strstr(err.text, "(see ulimit -n)"));
		assert_true(host.state == GT_HOST_IDLE || run_until_state(GT_HOST_FAILED));
		gt_host_free(&host);
	}
	assert_true(refused > 3); // the log, two ends of a socket, and what libuv needs
	assert_true(run_until_state(GT_HOST_READY));
}

static void start_faulty(const char *fault)
{
	char *order = gt_format("plain:%s", fault);
	setenv("GAUNTLET_FAKE", "1", 1);
	setenv("GAUNTLET_HOST_FAULT", order, 1);
	free(order);
	start_host(GOOD);
	unsetenv("GAUNTLET_HOST_FAULT");
	unsetenv("GAUNTLET_FAKE");
}

// A host that is no longer what it was starts no job any more and says why; those it has go on.
static void test_unfit_host(void **state)
{
	(void)state;
	static const struct {
		const char *fault, *says;
	} cases[] = {
		{"thread", "it runs 2 threads"},
		{"descriptor", "it holds other descriptors than when it began"},
		{"memory", "its memory grew by 40 MiB"},
		{"child", "a process ended that it had not started"},
	};
	static const char *const isolations[] = {"", "user", "none"};
	const char *wanted = getenv("GAUNTLET_ISOLATION");
	char *kept = wanted ? gt_strdup(wanted) : NULL;
	for (size_t i = 0; i < GT_COUNTOF(cases) * GT_COUNTOF(isolations); i++) {
		struct outcome first = {0}, second = {0}, third = {0};
		size_t c = i / GT_COUNTOF(isolations);
		setenv("GAUNTLET_ISOLATION", isolations[i % GT_COUNTOF(isolations)], 1);
		start_faulty(cases[c].fault);
		assert_true(run_until_state(GT_HOST_READY));
		start_job(&first, true, "{\"ok\":true}", LIMIT_S);
		run_until_done(&first, 1);
		assert_true(first.ending.ok);
		start_job(&second, false, "{\"ok\":true}", LIMIT_S);
		start_job(&third, false, "{\"ok\":true}", LIMIT_S);
		run_until_done(&second, 1);
		run_until_done(&third, 1);
		assert_why(&second, "host", "the host of the stage cannot be used: ");
		assert_why(&second, "host", cases[c].says);
		assert_true(second.ending.unstarted && third.ending.unstarted);
		assert_string_equal(host.surprise, cases[c].fault);
		assert_int_equal(host.state, GT_HOST_RETIRED);
		gt_job_request(first.job, "{\"ok\":true,\"detail\":{}}", LIMIT_S);
		run_until_done(&first, 2);
		assert_true(first.ending.ok);
		release(&first); // and with the last it leaves
		assert_true(run_until_state(GT_HOST_IDLE));
		assert_true(marked_become(0));
		forget(&first);
		forget(&second);
		forget(&third);
	}
	if (kept)
		setenv("GAUNTLET_ISOLATION", kept, 1);
	else
		unsetenv("GAUNTLET_ISOLATION");
	free(kept);
}

// A host that takes an order and does nothing is ended, and is no test's timeout.
static void test_hanging_host(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_faulty("hang");
	host.answer_s = 0.3;
	assert_true(run_until_state(GT_HOST_READY));
	do_job(&o, "{\"ok\":true}", 0.01);
	assert_why(&o, "host", "forked from is gone");
	assert_true(o.ending.host_gone);
	assert_true(run_until_state(GT_HOST_IDLE));
	assert_string_equal(host.surprise, "silent");
	assert_string_equal(host.surprise_text, "it did not answer an order within 0.3 s");
	forget(&o);
	assert_true(marked_become(0));
}

static void stop_loop(struct outcome *o)
{
	(void)o;
	uv_stop(&loop);
}

// The answer has come, and it is the runner that was late to read it.
static void test_late_for_the_answer(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	host.answer_s = 0.1;
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "{\"ok\":true}", LIMIT_S);
	assert_true(readable(host.control, PATIENCE_S * 1000));
	usleep(200000);
	o.then = stop_loop;
	uv_run(&loop, UV_RUN_DEFAULT); // so timers come first
	assert_int_equal(o.count, 1);
	assert_true(o.ending.ok);
	assert_null(host.surprise);
	forget(&o);
}

// What makes no sense is not believed: the host goes, its jobs with it.
static void test_senseless_notices(void **state)
{
	(void)state;
	static const char *const faults[] = {"garbage", "stranger"};
	for (size_t i = 0; i < GT_COUNTOF(faults); i++) {
		struct outcome o = {0};
		start_faulty(faults[i]);
		assert_true(run_until_state(GT_HOST_READY));
		do_job(&o, "session;busy", LIMIT_S);
		assert_why(&o, "host", "is gone");
		assert_true(o.ending.host_gone);
		assert_true(run_until_state(GT_HOST_IDLE));
		assert_string_equal(host.surprise, "protocol");
		forget(&o);
		assert_true(marked_become(0));
	}
}

// The kernel has begun to take it away: it does nothing any more.
static bool is_dying(pid_t pid)
{
	char path[64], text[64] = "";
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	return !gt_kernel_file_read(path, text, sizeof text) || strtol(text, NULL, 10) == 0;
}

// A job's working folder is `folder`; who watches over it has none.
static bool works_there(pid_t pid)
{
	char path[64], where[sizeof folder] = "";
	snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
	ssize_t n = readlink(path, where, sizeof where);
	return n == (ssize_t)strlen(folder) && memcmp(where, folder, (size_t)n) == 0 && !is_dying(pid);
}

// When a lost job is told, nothing of it works in its folder any more.
static void test_nothing_outlives_the_loss(void **state)
{
	(void)state;
	struct outcome o = {0};
	int seen = 0;
	for (int i = 0; i < 20; i++) {
		start_host(GOOD);
		assert_true(run_until_state(GT_HOST_READY));
		start_job(&o, false, i % 2 ? "ready;busy" : "busy", LIMIT_S);
		assert_true(i % 2 == 0 || is_ready(folder, "ready"));
		usleep((useconds_t)i * 500);
		if (i % 2)
			take_answer(&o);
		pid_t left[8];
		size_t n = marked(left, GT_COUNTOF(left));
		for (size_t k = 0; k < n && k < GT_COUNTOF(left); k++)
			seen += works_there(left[k]);
		kill(host.process.pid, SIGKILL);
		run_until_done(&o, 1);
		n = marked(left, GT_COUNTOF(left));
		for (size_t k = 0; k < n && k < GT_COUNTOF(left); k++)
			if (works_there(left[k]))
				fail_msg("%d of round %d is left", (int)left[k], i);
		assert_true(run_until_state(GT_HOST_IDLE));
		forget(&o);
	}
	assert_true(seen >= 10); // so some would have been
}

// One for a single job leaves with it, and it is told apart from what many shared.
static void test_host_of_one_job(void **state)
{
	(void)state;
	struct outcome o = {0};
	for (int i = 0; i < 2; i++) {
		struct gt_err err = {0};
		gt_host_free(&host);
		host = (struct gt_host){.kind = GOOD, .once = true, .changed = on_changed, .control = -1,
		                        .log = -1};
		assert_int_equal(gt_host_start(&host, &loop, &tools, &err), GT_OK);
		assert_true(run_until_state(GT_HOST_READY));
		assert_string_equal(gt_json_string_or(host.identity, "name", ""), "once");
		start_job(&o, true, i ? "ready;busy" : "{\"ok\":true}", LIMIT_S);
		gt_host_retire(&host);
		if (i) {
			assert_true(is_ready(folder, "ready"));
			kill(host.process.pid, SIGKILL);
			run_until_done(&o, 1);
			assert_why(&o, "host", "that was for nothing else");
			assert_false(o.ending.host_gone);
		} else {
			run_until_done(&o, 1);
			assert_int_equal(host.state, GT_HOST_RETIRED);
			release(&o);
		}
		assert_true(run_until_state(GT_HOST_IDLE));
		assert_true(marked_become(0));
		forget(&o);
	}
}

// Ctrl-C on the terminal is the runner's to handle.
static void test_host_has_its_own_session(void **state)
{
	(void)state;
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	assert_int_equal(getsid(host.process.pid), host.process.pid);
}

static int do_tests(void)
{
	const struct CMUnitTest tests[] = {
		JOB_TEST(test_refusing_host),
		JOB_TEST(test_dying_host),
		JOB_TEST(test_silent_host),
		JOB_TEST(test_no_program),
		JOB_TEST(test_no_descriptor_left),
		JOB_TEST(test_unfit_host),
		JOB_TEST(test_hanging_host),
		JOB_TEST(test_late_for_the_answer),
		JOB_TEST(test_senseless_notices),
		JOB_TEST(test_nothing_outlives_the_loss),
		JOB_TEST(test_host_of_one_job),
		JOB_TEST(test_host_has_its_own_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	return be_host_or_test(argc, argv, do_tests);
}
