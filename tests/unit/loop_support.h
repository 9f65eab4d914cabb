// What the tests of the runner's hosts and jobs share: a loop, a host, what becomes of requests. The
// processes are real: this program is its own host, and what it does then depends on the kind of host it is
// to be.
#ifndef LOOP_SUPPORT_H
#define LOOP_SUPPORT_H

#include "worker_support.h"

#include "run/host.h"
#include "run/job.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST_LIMIT_S 150
#define LIMIT_S 100.0 // of a job that ends before, or is ended

#define GOOD GT_HOST_PLAIN          // serves scripts
#define REFUSING GT_HOST_COMPILER   // says why it cannot start
#define DYING GT_HOST_REFERENCE     // ends before it has said a word to us
#define SILENT GT_HOST_RUNTIME      // never becomes ready

static char folder[] = "/tmp/gauntlet-loop-XXXXXX";
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

static inline void on_changed(struct gt_host *h)
{
	if (state_count < GT_COUNTOF(states))
		states[state_count++] = h->state;
}

static inline void on_done(struct gt_job *job, struct gt_ending *ending)
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

static inline void run_until_done(struct outcome *o, int count);

// Let an instance go, and wait for its last word.
static inline void release(struct outcome *o)
{
	int count = o->count;
	gt_job_release(o->job, on_done);
	assert_int_equal(o->count, count); // not before the loop runs
	run_until_done(o, count + 1);
	o->job = NULL;
}

static inline void forget(struct outcome *o)
{
	gt_ending_free(&o->ending);
	free(o->output);
	*o = (struct outcome){0};
}

static inline bool run_until_state(enum gt_host_state state)
{
	int64_t until = gt_clock_ns() + PATIENCE_S * INT64_C(1000000000);
	while (host.state != state && gt_clock_ns() < until && uv_run(&loop, UV_RUN_NOWAIT))
		usleep(500);
	return host.state == state;
}

static inline void run_until_done(struct outcome *o, int count)
{
	int64_t until = gt_clock_ns() + PATIENCE_S * INT64_C(1000000000);
	while (o->count < count && gt_clock_ns() < until && uv_run(&loop, UV_RUN_NOWAIT))
		usleep(500);
	assert_int_equal(o->count, count);
}

// Let the loop run until it has seen that.
static inline void run_until(const bool *seen)
{
	int64_t until = gt_clock_ns() + PATIENCE_S * INT64_C(1000000000);
	while (!*seen && gt_clock_ns() < until && uv_run(&loop, UV_RUN_NOWAIT))
		usleep(500);
	assert_true(*seen);
}

// Take the host's answer to the order, and leave the loop alone: no limit is met meanwhile.
static inline void take_answer(const struct outcome *o)
{
	while (!o->job->started) {
		assert_true(readable(host.control, PATIENCE_S * 1000));
		gt_host_look(&host);
	}
}

static inline void start_host(enum gt_host_kind kind)
{
	struct gt_err err = {0};
	gt_host_free(&host); // of an earlier one
	host = (struct gt_host){.kind = kind, .changed = on_changed, .control = -1, .log = -1};
	if (gt_host_start(&host, &loop, &tools, &err))
		fail_msg("%s", err.text);
}

static inline void start_job(struct outcome *o, bool instance, const char *request, double limit_s)
{
	struct gt_err err = {0};
	int where = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	o->job = gt_job_start(&loop, &host, instance, where, request, limit_s, on_done, o, &err);
	close(where);
	if (!o->job)
		fail_msg("%s", err.text);
}

static inline void do_job(struct outcome *o, const char *request, double limit_s)
{
	start_job(o, false, request, limit_s);
	run_until_done(o, 1);
}

static inline void assert_why(const struct outcome *o, const char *why, const char *part)
{
	assert_string_equal(o->ending.why, why);
	if (!o->ending.message || !strstr(o->ending.message, part))
		fail_msg("'%s' does not say '%s'", o->ending.message, part);
}

// --- this program as a host

static inline int say(const char *text)
{
	return gt_host_hello(3, text);
}

static inline int be_host(const char *kind, bool once)
{
	struct gt_host_ops ops = {.serve = serve_script};
	take_mark();
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

static inline int begin_test(void **state)
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
static inline int end_test(void **state)
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
	return !nothing_is_left(descriptors_before) || rc;
}

#define JOB_TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

// Call with main()'s arguments: be the host that this program has started itself as, or do the tests.
static inline int be_host_or_test(int argc, char **argv, int (*do_tests)(void))
{
	if (argc > 3 && strcmp(argv[1], "host") == 0)
		return be_host(argv[2], argc == 5 && strcmp(argv[4], "--once") == 0);
	if (argc > 1) // never the tests again, within a test
		return 9;
	uv_loop_t first; // libuv keeps a few descriptors for ever: they are there before we count
	uv_signal_t any;
	if (!mkdtemp(folder) || uv_loop_init(&first) || uv_signal_init(&first, &any))
		return 1;
	uv_close((uv_handle_t *)&any, NULL);
	uv_run(&first, UV_RUN_DEFAULT);
	uv_loop_close(&first);
	int failed = do_tests();
	(void)!gt_remove_tree(folder, NULL);
	return failed;
}

#endif // LOOP_SUPPORT_H
