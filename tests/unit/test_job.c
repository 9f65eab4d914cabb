// The runner's side of jobs, with real processes: what becomes of requests, and of who served them.
#include "loop_support.h"

#include <errno.h>
#include <sys/wait.h>

// --- jobs

static void test_job(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	assert_string_equal(gt_json_string_or(host.identity, "name", ""), "test");
	int64_t began = gt_clock_ns();
	do_job(&o, "print hello;{\"ok\":true,\"detail\":{\"n\":1}}", LIMIT_S);
	double took = (double)(gt_clock_ns() - began) / 1e9;
	assert_true(o.ending.ok);
	assert_string_equal(o.ending.why, "");
	assert_string_equal(o.output, "hello\n");
	assert_true(o.ending.seconds > 0 && o.ending.seconds <= took);
	assert_int_equal(o.ending.report.output_bytes, 6);
	forget(&o);
	do_job(&o, "print last words;segfault", LIMIT_S);
	assert_why(&o, "crash:SIGSEGV", "the stage crashed");
	assert_string_equal(o.output, "last words\n");
	forget(&o);
	do_job(&o, "say [1,2]", LIMIT_S);
	assert_why(&o, "protocol", "sent a reply that is none");
	forget(&o);
	do_job(&o, "reply;exit 4", LIMIT_S);
	assert_why(&o, "protocol", "ended with exit code 4");
	forget(&o);
	assert_null(host.jobs);
}

// What we kill reports all the same, each time. Its limit begins when it has done all that it does.
static void test_timeout(void **state)
{
	(void)state;
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	for (int i = 0; i < 10; i++) {
		struct outcome o = {0};
		start_job(&o, false, i % 2 ? "print x;ready;busy" : "print x;session;deaf;ready;stop", 0.25);
		assert_true(is_ready(folder, "ready"));
		run_until_done(&o, 1);
		assert_why(&o, "timeout", "did not end within 0.25 s");
		assert_int_equal(o.ending.report.magic, GT_REPORT_MAGIC);
		assert_int_equal(o.ending.report.killed, 1);
		assert_string_equal(o.output, "x\n");
		assert_true(o.ending.seconds >= 0.25);
		forget(&o);
	}
	assert_true(marked_become(1));
}

static void test_stop(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "session;ready;busy", LIMIT_S);
	assert_true(is_ready(folder, "ready"));
	gt_job_stop(o.job);
	gt_job_stop(o.job);
	run_until_done(&o, 1);
	assert_why(&o, "interrupted", "interrupted");
	assert_int_equal(o.ending.report.killed, 1);
	forget(&o);
	assert_true(marked_become(1));
}

// A runner that did not run for a while (Ctrl-Z, a busy machine) blames nobody for it.
static void test_late_runner(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "wait go;{\"ok\":true}", 0.2);
	take_answer(&o);
	give_way(folder, "go");
	assert_true(readable(o.job->supervisor, PATIENCE_S * 1000));
	usleep(300000);
	run_until_done(&o, 1);
	assert_string_equal(o.ending.why, "");
	forget(&o);
	start_job(&o, true, "wait go;{\"ok\":true}", 0.2);
	take_answer(&o);
	give_way(folder, "go");
	assert_true(readable(o.job->child, PATIENCE_S * 1000));
	usleep(300000);
	run_until_done(&o, 1);
	assert_string_equal(o.ending.why, "");
	// The limit counts from the request, not from when the loop last looked at the clock.
	usleep(400000);
	uint64_t began = uv_hrtime() / 1000000;
	gt_job_request(o.job, "{\"ok\":true}", LIMIT_S);
	uv_update_time(&loop);
	uint64_t due = uv_now(&loop) + uv_timer_get_due_in(&o.job->deadline);
	assert_true(due + 50 >= began + (uint64_t)(LIMIT_S * 1000)); // clocks are coarse
	run_until_done(&o, 2);
	assert_string_equal(o.ending.why, "");
	release(&o);
	forget(&o);
}

static void test_host_dies_with_jobs(void **state)
{
	(void)state;
	struct outcome o[3] = {0};
	static const char *const requests[] = {"session;ready 0;busy", "session;ready 1;busy",
	                                       "session;ready 2;busy"};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	for (size_t i = 0; i < GT_COUNTOF(o); i++)
		start_job(&o[i], i == 2, requests[i], LIMIT_S);
	assert_true(is_ready(folder, "ready 0") && is_ready(folder, "ready 1"));
	assert_true(is_ready(folder, "ready 2"));
	kill(host.process.pid, SIGKILL);
	for (size_t i = 0; i < GT_COUNTOF(o); i++) {
		run_until_done(&o[i], 1);
		assert_why(&o[i], "host", "is gone");
		forget(&o[i]);
	}
	assert_true(run_until_state(GT_HOST_IDLE));
	assert_string_equal(host.surprise, "death");
	assert_string_equal(host.surprise_text, "it died (SIGKILL)");
	assert_true(marked_become(0));
	struct gt_err err = {0};
	assert_int_equal(gt_host_start(&host, &loop, &tools, &err), GT_OK);
	assert_true(run_until_state(GT_HOST_READY));
	do_job(&o[0], "{\"ok\":true}", LIMIT_S);
	assert_true(o[0].ending.ok);
	assert_int_equal(host.reported, 1);
	assert_null(host.surprise);
	forget(&o[0]);
}

static void kill_some(bool supervisors)
{
	kill_below_host(host.process.pid, supervisors);
}

static void test_killed_from_outside(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "ready;busy", LIMIT_S);
	assert_true(is_ready(folder, "ready"));
	kill_some(false);
	run_until_done(&o, 1);
	assert_why(&o, "killed", "was killed from outside");
	forget(&o);
	start_job(&o, false, "session;ready;busy", LIMIT_S);
	assert_true(is_ready(folder, "ready"));
	kill_some(true);
	run_until_done(&o, 1);
	assert_why(&o, "host", "the process that watched the stage is gone");
	forget(&o);
	assert_true(marked_become(1));
	assert_int_equal(host.state, GT_HOST_READY);
}

// --- instances

static void test_instance(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, true, "print one;{\"ok\":true}", LIMIT_S);
	run_until_done(&o, 1);
	assert_true(o.ending.ok);
	gt_job_request(o.job, "print two;{\"ok\":false,\"code\":\"engine\",\"message\":\"no\"}", LIMIT_S);
	run_until_done(&o, 2);
	assert_why(&o, "error", "no");
	assert_string_equal(o.output, "two\n");
	gt_job_request(o.job, "print three;exit 9", LIMIT_S);
	run_until_done(&o, 3);
	assert_why(&o, "protocol", "the test class ended with exit code 9");
	forget(&o);
	start_job(&o, true, "{\"ok\":true}", LIMIT_S);
	run_until_done(&o, 1);
	release(&o);
	assert_int_equal(o.ending.report.killed, 0); // it left by itself
	assert_int_equal(o.ending.report.leftovers, 0);
	forget(&o);
	assert_true(marked_become(1));
	// What it leaves behind is named; one that does not leave is killed.
	start_job(&o, true, "session;daemon;{\"ok\":true}", LIMIT_S);
	run_until_done(&o, 1);
	release(&o);
	assert_int_equal(o.ending.report.leftovers, 2);
	char *names = gt_format("h%s (2)", mark + 1);
	assert_string_equal(o.ending.report.leftover_names, names);
	free(names);
	forget(&o);
	assert_true(marked_become(1));
}

// An instance that ends while nobody asks it anything tells it when it is asked next.
static void test_idle_instance_dies(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	for (int i = 0; i < 3; i++) {
		start_job(&o, true, "{\"ok\":true}", LIMIT_S);
		run_until_done(&o, 1);
		kill_some(i == 1);
		assert_true(marked_become(1));
		run_until(&o.job->over);
		if (i == 2) {
			release(&o);
		} else {
			gt_job_request(o.job, "{\"ok\":true}", LIMIT_S);
			assert_int_equal(o.count, 1); // not before the loop runs
			run_until_done(&o, 2);
			assert_why(&o, i == 1 ? "host" : "killed", "the test class");
		}
		forget(&o);
	}
	start_job(&o, true, "{\"ok\":true}", LIMIT_S);
	run_until_done(&o, 1);
	kill(host.process.pid, SIGKILL);
	assert_true(run_until_state(GT_HOST_IDLE));
	gt_job_request(o.job, "{\"ok\":true}", LIMIT_S);
	gt_job_stop(o.job);
	run_until_done(&o, 2);
	assert_why(&o, "host", "is gone");
	forget(&o);
}

static void test_instance_speaks_out_of_turn(void **state)
{
	(void)state;
	static const char *const scripts[] = {"reply;reply;{\"ok\":true}", "garbage;{\"ok\":true}",
	                                      "empty;{\"ok\":true}", "{\"ok\":true};reply;garbage"};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	for (size_t i = 0; i < GT_COUNTOF(scripts); i++) {
		struct outcome o = {0};
		start_job(&o, true, scripts[i], LIMIT_S);
		run_until_done(&o, 1);
		if (o.ending.ok) { // the first of several: the second spoils it
			if (i == 0)
				run_until(&o.job->spoiled);
			gt_job_request(o.job, "{\"ok\":true,\"detail\":{}}", LIMIT_S);
			run_until_done(&o, 2);
		}
		assert_why(&o, "protocol", "no result");
		forget(&o); // and that long before its limit
		assert_true(marked_become(1));
	}
}

static void test_request_too_long(void **state)
{
	(void)state;
	struct outcome o = {0};
	struct gt_err err = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	char *request = gt_zalloc(GT_FRAME_MAX + 2, 1);
	memset(request, 'x', GT_FRAME_MAX + 1);
	assert_null(gt_job_start(&loop, &host, false, 0, request, LIMIT_S, on_done, &o, &err));
	assert_non_null(strstr(err.text, "longer than the limit"));
	start_job(&o, true, "{\"ok\":true}", LIMIT_S);
	run_until_done(&o, 1);
	gt_job_request(o.job, request, LIMIT_S);
	run_until_done(&o, 2);
	assert_why(&o, "error", "longer than the limit");
	free(request);
	forget(&o);
}

static void stop_in_done(struct outcome *o)
{
	(void)o;
	gt_host_stop(&host);
}

static void test_stop_host_in_done(void **state)
{
	(void)state;
	struct outcome o = {.then = stop_in_done};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "{\"ok\":true}", LIMIT_S);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(o.count, 1);
	assert_true(o.ending.ok);
	forget(&o);
}

static int do_tests(void)
{
	const struct CMUnitTest tests[] = {
		JOB_TEST(test_job),
		JOB_TEST(test_timeout),
		JOB_TEST(test_stop),
		JOB_TEST(test_late_runner),
		JOB_TEST(test_host_dies_with_jobs),
		JOB_TEST(test_killed_from_outside),
		JOB_TEST(test_instance),
		JOB_TEST(test_idle_instance_dies),
		JOB_TEST(test_instance_speaks_out_of_turn),
		JOB_TEST(test_request_too_long),
		JOB_TEST(test_stop_host_in_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	return be_host_or_test(argc, argv, do_tests);
}
