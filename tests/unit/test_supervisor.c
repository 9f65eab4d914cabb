// Supervisors, with real processes: what a job reports however its child ends, and that no process is
// left. All of it three times, once for each kind of isolation.
#include "host_support.h"

#include <errno.h>
#include <fcntl.h>

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

static void test_no_reply_made(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	do_job(&h, &j, "mute");
	assert_int_equal(j.frame_rc, GT_NOT_FOUND);
	assert_true(j.report.exit_code > 0);
	assert_non_null(strstr(j.output, "gauntlet: a job cannot reply: it has made none\n"));
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

// What is counted is named, and nothing else: not who had ended before, and whose parent did not care.
static void test_names_of_leftovers(void **state)
{
	(void)state;
	static const struct {
		const char *script, *names;
		unsigned count;
	} cases[] = {
		{"careless b", "b", 1},
		{"careless b;careless a;careless b", "a, b (2)", 3},
		// Those that find no room are counted together.
		{"careless 00;careless 01;careless 02;careless 03;careless 04;careless 05;careless 06;"
		 "careless 07;careless 08;careless 09;careless 10;careless 11;careless 12;careless 13;"
		 "careless 14;careless 15;careless 16;careless 17",
		 "00, 01, 02, 03, 04, 05, 06, 07, 08, 09, 10, 11, 12, 13, 14, 15, others (2)", 18},
		{"session;exit 0", NULL, 1},
	};
	struct host h = start_host();
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		struct job j;
		do_job(&h, &j, cases[i].script);
		assert_int_equal(j.report.leftovers, cases[i].count);
		assert_string_equal(j.report.leftover_names, cases[i].names ? cases[i].names : mark);
		free_job(&j);
	}
	stop_host(&h);
}

static void test_kill_on_order(void **state)
{
	(void)state;
	static const char *const scripts[] = {"ready;busy", "deaf;ready;busy", "ready;stop",
	                                      "session;daemon;ready;busy", "many;ready;busy",
	                                      "close;ready;busy", "many;many;ready;busy"};
	struct host h = start_host();
	for (size_t i = 0; i < GT_COUNTOF(scripts); i++) {
		struct job j;
		start_job(&h, &j, false, scripts[i]);
		assert_true(is_ready(folder, "ready"));
		assert_true(!strstr(scripts[i], "stop") || one_is_stopped());
		assert_int_equal(send(j.supervisor, "k", 1, 0), 1);
		// The order lies unread in the socket when it closes, or not: the report comes first.
		end_job(&h, &j);
		assert_int_equal(j.report.killed, 1);
		assert_int_equal(j.report.signal, SIGKILL);
		// Who would have outlived it nobody can tell.
		assert_int_equal(j.report.leftovers, 0);
		assert_string_equal(j.report.leftover_names, "");
		free_job(&j);
	}
	stop_host(&h);
}

static void test_runner_goes(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	start_job(&h, &j, false, "session;daemon;ready;busy");
	assert_true(is_ready(folder, "ready"));
	close(j.supervisor); // as if the runner had died
	struct gt_notice notice = take_notice(&h);
	assert_int_equal(notice.kind, GT_NOTICE_LOST);
	assert_int_equal(marked(NULL, 0), 1);
	close(j.child);
	close(j.log);
	stop_host(&h);
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
		char *request = gt_format("session;supervisor %d;print after;{\"n\":1}", number);
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

// Stopped, by its job or from outside, it dies with its host all the same, and takes all along.
static void test_stopped_supervisor(void **state)
{
	(void)state;
	struct host h = start_host();
	struct job j;
	pid_t pids[64];
	start_job(&h, &j, false, "session;daemon;ready;busy");
	assert_true(is_ready(folder, "ready"));
	size_t n = marked(pids, GT_COUNTOF(pids));
	for (size_t i = 0; i < n && i < GT_COUNTOF(pids); i++)
		if (parent_of(pids[i]) == h.pid)
			kill(pids[i], SIGSTOP);
	assert_true(one_is_stopped());
	kill(h.pid, SIGKILL);
	assert_int_equal(waitpid(h.pid, NULL, 0), h.pid);
	assert_true(marked_become(0));
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
	uint32_t word; // the first that it says
	assert_int_equal(send(j.supervisor, (char[]){GT_ORDER_DRAIN}, 1, 0), 1);
	assert_int_equal(recv(j.supervisor, &word, sizeof word, 0), sizeof word);
	assert_int_equal(word, GT_DRAINED_MAGIC);
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

// --- rounds

static int do_tests(const char *name)
{
	const struct CMUnitTest tests[] = {
		ROUND_TEST(test_reply),
		ROUND_TEST(test_exit_without_reply),
		ROUND_TEST(test_signals),
		ROUND_TEST(test_limit_on_files),
		ROUND_TEST(test_garbage),
		ROUND_TEST(test_reply_too_long),
		ROUND_TEST(test_no_reply_made),
		ROUND_TEST(test_reply_then_crash),
		ROUND_TEST(test_closed_descriptors),
		ROUND_TEST(test_flood),
		ROUND_TEST(test_world_of_the_child),
		ROUND_TEST(test_leftovers),
		ROUND_TEST(test_names_of_leftovers),
		ROUND_TEST(test_kill_on_order),
		ROUND_TEST(test_runner_goes),
		ROUND_TEST(test_signals_for_the_supervisor),
		ROUND_TEST(test_stopped_supervisor),
		ROUND_TEST(test_instance),
	};
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return run_rounds(do_tests);
}
