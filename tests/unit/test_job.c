// The runner's side of hosts and jobs, with real processes: this program is its own host, and what
// it does then depends on the kind of host it is to be.
#include "worker_support.h"

#include "run/host.h"
#include "run/job.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#define TEST_LIMIT_S 30
#define LIMIT_S 10.0

#define GOOD GT_HOST_PLAIN          // serves scripts
#define REFUSING GT_HOST_COMPILER   // says why it cannot start
#define DYING GT_HOST_REFERENCE     // ends before it has said a word to us
#define SILENT GT_HOST_RUNTIME      // never becomes ready

static char folder[] = "/tmp/gauntlet-job-XXXXXX";
static uv_loop_t loop;
static struct gt_host host;
static struct gt_toolchain tools;
static int states[16];
static size_t state_count;

// What became of a request.
struct outcome {
	struct gt_job *job;
	int count;
	struct gt_ending ending;
	char *output;
	void (*then)(struct outcome *o); // called in done()
};

static void on_changed(struct gt_host *h)
{
	if (state_count < GT_COUNTOF(states))
		states[state_count++] = h->state;
}

static void on_done(struct gt_job *job, struct gt_ending *ending)
{
	struct outcome *o = job->user;
	o->count++;
	gt_ending_free(&o->ending);
	free(o->output);
	o->ending = *ending;
	o->output = gt_job_output(job);
	if (o->then)
		o->then(o);
}

static void run_until_done(struct outcome *o, int count);

// Let an instance go, and wait for its last word.
static void release(struct outcome *o)
{
	int count = o->count;
	gt_job_release(o->job, on_done);
	assert_int_equal(o->count, count); // not before the loop runs
	run_until_done(o, count + 1);
	o->job = NULL;
}

static void forget(struct outcome *o)
{
	gt_ending_free(&o->ending);
	free(o->output);
	*o = (struct outcome){0};
}

// The kernel has begun to take it away: it does nothing any more.
static bool is_dying(pid_t pid)
{
	char path[64], text[64] = "";
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	return !gt_kernel_file_read(path, text, sizeof text) || strtol(text, NULL, 10) == 0;
}

static bool run_until_state(enum gt_host_state state)
{
	int64_t until = gt_clock_ns() + 5000000000;
	while (host.state != state && gt_clock_ns() < until && uv_run(&loop, UV_RUN_NOWAIT))
		usleep(500);
	return host.state == state;
}

static void run_until_done(struct outcome *o, int count)
{
	int64_t until = gt_clock_ns() + 8000000000;
	while (o->count < count && gt_clock_ns() < until && uv_run(&loop, UV_RUN_NOWAIT))
		usleep(500);
	assert_int_equal(o->count, count);
}

// Let the loop see what has come by now.
static void run_for(int ms)
{
	int64_t until = gt_clock_ns() + (int64_t)ms * 1000000;
	while (gt_clock_ns() < until && uv_run(&loop, UV_RUN_NOWAIT))
		usleep(500);
}

static void start_host(enum gt_host_kind kind)
{
	struct gt_err err = {0};
	gt_host_free(&host); // of an earlier one
	host = (struct gt_host){.kind = kind, .changed = on_changed, .control = -1, .log = -1};
	if (gt_host_start(&host, &loop, &tools, &err))
		fail_msg("%s", err.text);
}

static void start_job(struct outcome *o, bool instance, const char *request, double limit_s)
{
	struct gt_err err = {0};
	int where = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	o->job = gt_job_start(&loop, &host, instance, where, request, limit_s, on_done, o, &err);
	close(where);
	if (!o->job)
		fail_msg("%s", err.text);
}

static void do_job(struct outcome *o, const char *request, double limit_s)
{
	start_job(o, false, request, limit_s);
	run_until_done(o, 1);
}

static void assert_why(const struct outcome *o, const char *why, const char *part)
{
	assert_string_equal(o->ending.why, why);
	if (!o->ending.message || !strstr(o->ending.message, part))
		fail_msg("'%s' does not say '%s'", o->ending.message, part);
}

// --- jobs

static void test_job(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	assert_string_equal(gt_json_string_or(host.identity, "name", ""), "test");
	do_job(&o, "print hello;{\"ok\":true,\"detail\":{\"n\":1}}", LIMIT_S);
	assert_true(o.ending.ok);
	assert_string_equal(o.ending.why, "");
	assert_string_equal(o.output, "hello\n");
	assert_true(o.ending.seconds > 0 && o.ending.seconds < 5);
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

// What we kill reports all the same, each time.
static void test_timeout(void **state)
{
	(void)state;
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	for (int i = 0; i < 10; i++) {
		struct outcome o = {0};
		do_job(&o, i % 2 ? "print x;busy" : "print x;session;deaf;stop", 0.25);
		assert_why(&o, "timeout", "did not end within 0.25 s");
		assert_int_equal(o.ending.report.magic, GT_REPORT_MAGIC);
		assert_int_equal(o.ending.report.killed, 1);
		assert_string_equal(o.output, "x\n");
		assert_true(o.ending.seconds < 2);
		forget(&o);
	}
	assert_true(marked_become(1, 1));
}

static void test_stop(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "session;busy", LIMIT_S);
	run_for(50);
	gt_job_stop(o.job);
	gt_job_stop(o.job);
	run_until_done(&o, 1);
	assert_why(&o, "interrupted", "interrupted");
	assert_true(o.ending.seconds < 2);
	forget(&o);
	assert_true(marked_become(1, 1));
}

// A runner that did not run for a while (Ctrl-Z, a busy machine) blames nobody for it.
static void test_late_runner(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "{\"ok\":true}", 0.2);
	usleep(400000);
	run_until_done(&o, 1);
	assert_string_equal(o.ending.why, "");
	forget(&o);
	start_job(&o, true, "{\"ok\":true}", 0.2);
	usleep(400000);
	run_until_done(&o, 1);
	assert_string_equal(o.ending.why, "");
	// The limit counts from the request, not from when the loop last looked at the clock.
	usleep(400000);
	gt_job_request(o.job, "nap;{\"ok\":true}", 0.3);
	run_until_done(&o, 2);
	assert_string_equal(o.ending.why, "");
	release(&o);
	forget(&o);
}

static void test_host_dies_with_jobs(void **state)
{
	(void)state;
	struct outcome o[3] = {0};
	start_host(GOOD);
	assert_true(run_until_state(GT_HOST_READY));
	for (size_t i = 0; i < GT_COUNTOF(o); i++)
		start_job(&o[i], i == 2, "session;busy", LIMIT_S);
	run_for(50);
	kill(host.process.pid, SIGKILL);
	for (size_t i = 0; i < GT_COUNTOF(o); i++) {
		run_until_done(&o[i], 1);
		assert_why(&o[i], "host", "is gone");
		forget(&o[i]);
	}
	assert_true(run_until_state(GT_HOST_IDLE));
	assert_string_equal(host.surprise, "death");
	assert_string_equal(host.surprise_text, "it died (SIGKILL)");
	assert_true(marked_become(0, 1));
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
	start_job(&o, false, "busy", LIMIT_S);
	run_for(50);
	kill_some(false);
	run_until_done(&o, 1);
	assert_why(&o, "killed", "was killed from outside");
	forget(&o);
	start_job(&o, false, "session;busy", LIMIT_S);
	run_for(50);
	kill_some(true);
	run_until_done(&o, 1);
	assert_why(&o, "host", "the process that watched the stage is gone");
	forget(&o);
	assert_true(marked_become(1, 1));
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
	run_for(20);
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
	assert_true(marked_become(1, 1));
	// What it leaves behind is named; one that does not leave is killed.
	start_job(&o, true, "session;daemon;{\"ok\":true}", LIMIT_S);
	run_until_done(&o, 1);
	release(&o);
	assert_int_equal(o.ending.report.leftovers, 2);
	char *names = gt_format("h%s (2)", mark + 1);
	assert_string_equal(o.ending.report.leftover_names, names);
	free(names);
	forget(&o);
	assert_true(marked_become(1, 1));
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
		assert_true(marked_become(1, 2));
		run_for(50);
		if (i == 2) {
			release(&o);
		} else {
			gt_job_request(o.job, "{\"ok\":true}", LIMIT_S);
			assert_int_equal(o.count, 1); // not before the loop runs
			run_until_done(&o, 2);
			assert_why(&o, i == 1 ? "host" : "killed", "the test class");
		}
		run_for(20);
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
		int64_t began = gt_clock_ns();
		start_job(&o, true, scripts[i], LIMIT_S);
		run_until_done(&o, 1);
		if (o.ending.ok) { // the first of several: the second spoils it
			run_for(i == 0 ? 50 : 0);
			gt_job_request(o.job, "{\"ok\":true,\"detail\":{}}", LIMIT_S);
			run_until_done(&o, 2);
		}
		assert_why(&o, "protocol", "no result");
		assert_true(gt_clock_ns() - began < 3000000000);
		forget(&o);
		assert_true(marked_become(1, 2));
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

// --- hosts

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
	assert_true(marked_become(0, 1));
	gt_host_free(&host);
	// One that is stopped while it starts does not keep us waiting.
	start_host(SILENT);
	gt_host_stop(&host);
	int64_t began = gt_clock_ns();
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(gt_clock_ns() - began < 2000000000);
	assert_true(marked_become(0, 1));
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

static void start_faulty(const char *fault)
{
	char *order = gt_format("plain:%s", fault);
	setenv("GAUNTLET_HOST_FAULT", order, 1);
	free(order);
	start_host(GOOD);
	unsetenv("GAUNTLET_HOST_FAULT");
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
		run_for(50);
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
		assert_true(marked_become(0, 1));
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
	int64_t began = gt_clock_ns();
	do_job(&o, "{\"ok\":true}", 0.01);
	assert_true(gt_clock_ns() - began < 3000000000);
	assert_why(&o, "host", "forked from is gone");
	assert_true(o.ending.host_gone);
	assert_true(run_until_state(GT_HOST_IDLE));
	assert_string_equal(host.surprise, "silent");
	assert_string_equal(host.surprise_text, "it did not answer an order within 0.3 s");
	forget(&o);
	assert_true(marked_become(0, 1));
}

// The answer has come, and it is the runner that was late to read it.
static void test_late_for_the_answer(void **state)
{
	(void)state;
	struct outcome o = {0};
	start_host(GOOD);
	host.answer_s = 0.1;
	assert_true(run_until_state(GT_HOST_READY));
	start_job(&o, false, "nap;{\"ok\":true}", LIMIT_S);
	usleep(400000);
	run_until_done(&o, 1);
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
		assert_true(marked_become(0, 1));
	}
}

// When a lost job is told, nothing of it works in its folder any more.
static void test_nothing_outlives_the_loss(void **state)
{
	(void)state;
	struct outcome o = {0};
	for (int i = 0; i < 20; i++) {
		start_host(GOOD);
		assert_true(run_until_state(GT_HOST_READY));
		start_job(&o, false, "busy", LIMIT_S);
		run_for(10);
		kill(host.process.pid, SIGKILL);
		run_until_done(&o, 1);
		pid_t left[8];
		size_t n = marked(left, GT_COUNTOF(left));
		for (size_t k = 0; k < n && k < GT_COUNTOF(left); k++)
			if (left[k] != host.process.pid && !is_dying(left[k]))
				fail_msg("%d of round %d is left", (int)left[k], i);
		assert_true(run_until_state(GT_HOST_IDLE));
		forget(&o);
	}
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
		start_job(&o, true, i ? "busy" : "{\"ok\":true}", LIMIT_S);
		gt_host_retire(&host);
		if (i) {
			run_for(50);
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
		assert_true(marked_become(0, 1));
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

// --- this program as a host

static int say(const char *text)
{
	return gt_host_hello(3, text);
}

// A script may also sleep for a tenth of a second.
static char *serve(void *self, const char *request)
{
	if (strncmp(request, "nap;", 4) == 0) {
		usleep(100000);
		request += 4;
	}
	return serve_script(self, request);
}

static int be_host(const char *kind, bool once)
{
	struct gt_host_ops ops = {.serve = serve};
	// The name of the tests' processes, from the parent.
	char path[64], name[32] = "";
	snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
	FILE *f = fopen(path, "r");
	if (!f || !fgets(name, sizeof name, f))
		return 9;
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
	name[0] = 'h';
	prctl(PR_SET_NAME, name);
	if (strcmp(kind, "compiler") == 0)
		return say("{\"error\":\"no such library\"}"), 3;
	if (strcmp(kind, "reference") == 0)
		return fputs("something happened\nand this is why\n", stderr), 3;
	if (strcmp(kind, "runtime") == 0)
		for (;;)
			pause();
	say(once ? "{\"name\":\"once\"}" : "{\"name\":\"test\"}");
	return gt_host_serve(3, &ops);
}

static size_t descriptors_before;

static int begin_test(void **state)
{
	(void)state;
	new_mark();
	prctl(PR_SET_NAME, mark);
	mark[0] = 'h'; // what the hosts make of it
	alarm(TEST_LIMIT_S);
	state_count = 0;
	tools = (struct gt_toolchain){0};
	descriptors_before = own_descriptors();
	return uv_loop_init(&loop);
}

// Whatever a test did: the loop comes to its end, every handle is closed, no process is left and no
// descriptor.
static int end_test(void **state)
{
	(void)state;
	host.changed = NULL;
	if (host.state == GT_HOST_STARTING || host.state == GT_HOST_READY)
		gt_host_stop(&host);
	uv_run(&loop, UV_RUN_DEFAULT);
	int rc = uv_loop_close(&loop);
	gt_host_free(&host);
	free(tools.python);
	free(tools.frontend_folder);
	free(tools.worker_library);
	alarm(0);
	if (rc != 0)
		print_error("uv_loop_close: %s\n", uv_strerror(rc));
	bool gone = marked_become(0, 1);
	size_t descriptors = own_descriptors();
	if (!gone)
		print_error("processes are left\n");
	if (descriptors != descriptors_before)
		print_error("%zu descriptors became %zu\n", descriptors_before, descriptors);
	return rc || !gone || descriptors != descriptors_before;
}

#define JOB_TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "host") == 0)
		return be_host(argv[2], argc == 5 && strcmp(argv[4], "--once") == 0);
	if (argc > 1) // never the tests again, within a test
		return 9;
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
		JOB_TEST(test_refusing_host),
		JOB_TEST(test_dying_host),
		JOB_TEST(test_silent_host),
		JOB_TEST(test_no_program),
		JOB_TEST(test_unfit_host),
		JOB_TEST(test_hanging_host),
		JOB_TEST(test_late_for_the_answer),
		JOB_TEST(test_senseless_notices),
		JOB_TEST(test_nothing_outlives_the_loss),
		JOB_TEST(test_host_of_one_job),
		JOB_TEST(test_host_has_its_own_session),
	};
	uv_loop_t first; // libuv keeps a few descriptors for ever: they are there before we count
	uv_signal_t any;
	if (!mkdtemp(folder) || uv_loop_init(&first) || uv_signal_init(&first, &any))
		return 1;
	uv_close((uv_handle_t *)&any, NULL);
	uv_run(&first, UV_RUN_DEFAULT);
	uv_loop_close(&first);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!gt_remove_tree(folder, NULL);
	return failed;
}
