// What an ending means, row by row of the table in docs/processes.md.
#include "run/ending.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char yes[] = "{\"ok\":true,\"files\":[]}";

// Facts of a child that exited with 0 after it had sent `frame`.
static struct gt_facts facts(const char *frame)
{
	return (struct gt_facts){.ended = true, .limit_s = 2.5, .frame = frame,
	                         .frame_rc = frame ? GT_OK : GT_NOT_FOUND};
}

static void check(const struct gt_facts *f, const char *why, const char *part)
{
	struct gt_ending e;
	gt_ending_judge(f, "the compiler", &e);
	assert_string_equal(e.why, why);
	assert_int_equal(e.ok, why[0] == '\0');
	if (part ? !e.message || !strstr(e.message, part) : e.message != NULL)
		fail_msg("'%s' instead of '%s'", e.message, part);
	gt_ending_free(&e);
	assert_null(e.message);
}

static void test_replies(void **state)
{
	(void)state;
	static const struct {
		const char *frame, *why, *part;
	} rows[] = {
		{yes, "", NULL},
		{"{\"ok\":false,\"code\":\"engine\",\"message\":\"no\"}", "error", "no"},
		{"{\"ok\":false,\"code\":\"unsupported\",\"message\":\"no\"}", "unsupported", "no"},
		{"{\"ok\":false,\"code\":\"unheard of\"}", "error", "no reason was given"},
		{"{\"ok\":false,\"message\":7}", "error", "no reason was given"},
		{"{\"ok\":1}", "protocol", "the compiler sent a reply that is none"},
		{"{}", "protocol", "reply that is none"},
		{"[]", "protocol", "reply that is none"},
		{"true", "protocol", "reply that is none"},
		{"", "protocol", "reply that is none"},
		{"{\"ok\":true", "protocol", "reply that is none"},
		{"{\"ok\":true,\"ok\":true}", "protocol", "reply that is none"},
		{"{\"ok\":true} {}", "protocol", "reply that is none"},
		{NULL, "protocol", "the compiler ended with exit code 0 and without a result"},
	};
	for (size_t i = 0; i < GT_COUNTOF(rows); i++) {
		struct gt_facts f = facts(rows[i].frame);
		check(&f, rows[i].why, rows[i].part);
	}
}

static void test_exits(void **state)
{
	(void)state;
	struct gt_facts f = facts(yes);
	f.report.exit_code = 3;
	check(&f, "protocol", "sent a result, but then ended with exit code 3");
	f = facts(NULL);
	f.report.exit_code = 3;
	check(&f, "protocol", "ended with exit code 3 and without a result");
	f = facts(NULL);
	f.frame_rc = GT_BAD_DATA;
	check(&f, "protocol", "sent something that is no result");
	// An instance that lives on has no exit.
	f = facts(yes);
	f.ended = false;
	f.report.exit_code = 9;
	check(&f, "", NULL);
}

static void test_signals(void **state)
{
	(void)state;
	static const struct {
		int number;
		const char *why;
	} rows[] = {{SIGSEGV, "crash:SIGSEGV"}, {SIGABRT, "crash:SIGABRT"}, {SIGBUS, "crash:SIGBUS"},
	            {SIGILL, "crash:SIGILL"},   {SIGFPE, "crash:SIGFPE"},   {SIGSYS, "crash:SIGSYS"},
	            {SIGTERM, "crash:SIGTERM"}, {SIGXCPU, "crash:SIGXCPU"}};
	for (size_t i = 0; i < GT_COUNTOF(rows); i++) {
		struct gt_facts f = facts(yes); // a reply does not excuse a crash
		f.report.signal = rows[i].number;
		f.report.exit_code = -1;
		check(&f, rows[i].why, "the compiler crashed");
	}
	struct gt_facts f = facts(NULL);
	f.report.signal = SIGKILL;
	check(&f, "killed", "was killed from outside");
	f.report.signal = 40;
	struct gt_ending e;
	gt_ending_judge(&f, "x", &e);
	assert_int_equal(strncmp(e.why, "crash:", 6), 0);
	gt_ending_free(&e);
	// We killed it because it had sent garbage.
	f.report.signal = SIGKILL;
	f.report.killed = 1;
	f.frame_rc = GT_BAD_DATA;
	check(&f, "protocol", "no result");
}

// The limit was met: whatever else is known of the job, except that we ended it for another reason.
static void test_memory(void **state)
{
	(void)state;
	static const char no[] = "{\"ok\":false,\"code\":\"engine\",\"message\":\"a helper died\"}";
	const char *const frames[] = {NULL, no, yes}; // yes: a tool that went on without it
	static const int signals[] = {0, SIGKILL, SIGABRT};
	for (size_t i = 0; i < GT_COUNTOF(frames); i++) {
		for (size_t k = 0; k < GT_COUNTOF(signals); k++) {
			struct gt_facts f = facts(frames[i]);
			f.memory = (uint64_t)64 << 20;
			f.report.out_of_memory = 1;
			f.report.signal = signals[k];
			check(&f, "memory", "the compiler needed more memory than the 64 MiB that --memory");
			f.timed_out = true;
			check(&f, "timeout", "2.5 s");
		}
	}
	struct gt_facts f = facts(yes);
	f.memory = (uint64_t)64 << 20; // it was not met
	check(&f, "", NULL);
}

static void test_order(void **state)
{
	(void)state;
	struct gt_facts f = facts(yes);
	f.report.signal = SIGKILL;
	f.report.killed = 1;
	f.timed_out = true;
	check(&f, "timeout", "the compiler did not end within 2.5 s");
	f.lost = true;
	check(&f, "timeout", "2.5 s");
	f.stopped = true;
	check(&f, "interrupted", "the run was interrupted");
	f = facts(NULL);
	f.ended = false;
	f.lost = true;
	check(&f, "host", "the process that watched the compiler is gone");
	f.refused = EAGAIN;
	check(&f, "host", "could not be started: Resource temporarily unavailable");
	strcpy(f.unfit, "it runs 2 threads");
	check(&f, "host", "the host of the compiler cannot be used: it runs 2 threads");
	struct gt_ending e;
	gt_ending_judge(&f, "the compiler", &e);
	assert_true(e.unstarted);
	gt_ending_free(&e);
	f.own_host = true; // there is no other to go to
	gt_ending_judge(&f, "the compiler", &e);
	assert_false(e.unstarted);
	gt_ending_free(&e);
	f = facts(NULL);
	f.lost = f.host_gone = true;
	check(&f, "host", "the process that the compiler was forked from is gone");
	gt_ending_judge(&f, "the compiler", &e);
	assert_true(e.host_gone);
	gt_ending_free(&e);
	f.own_host = true;
	check(&f, "host", "forked from, and that was for nothing else, is gone");
	gt_ending_judge(&f, "the compiler", &e);
	assert_false(e.host_gone);
	gt_ending_free(&e);
	f = facts(NULL);
	strcpy(f.unsent, "too long");
	f.report.signal = SIGKILL;
	f.report.killed = 1;
	check(&f, "error", "the compiler cannot be asked: too long");
}

static void test_names(void **state)
{
	(void)state;
	char buffer[16];
	assert_string_equal(gt_signal_name(SIGSEGV, buffer), "SIGSEGV");
	assert_string_equal(gt_signal_name(SIGVTALRM, buffer), "SIGVTALRM");
	for (int n = -1; n < 200; n++)
		assert_true(strlen(gt_signal_name(n, buffer)) < 16 && buffer[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies), cmocka_unit_test(test_exits),
		cmocka_unit_test(test_signals), cmocka_unit_test(test_memory), cmocka_unit_test(test_order),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
