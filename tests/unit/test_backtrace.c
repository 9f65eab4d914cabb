// Stacks of crashes: what is written down, and that every process dies as it would have anyway,
// whatever goes wrong on the way. The unwinder is replaced by one that misbehaves on order.
#include "base/clock.h"
#include "base/file.h"
#include "base/utf8.h"
#include "worker/backtrace.h"
#include "worker/fault.h"
#include "worker/host.h"
#include "worker/symbol.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <cmocka.h>

#define TEST_LIMIT_S 150

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};

// --- the unwinder

static enum { WELL, CRASHES, CRASHES_LATE, SLEEPS, SPINS, STOPS } unwinding;

typedef _Unwind_Reason_Code unwinder(_Unwind_Trace_Fn, void *);

_Unwind_Reason_Code _Unwind_Backtrace(_Unwind_Trace_Fn note, void *user)
{
	static unwinder *real;
	if (!real)
		real = (unwinder *)(uintptr_t)dlsym(RTLD_NEXT, "_Unwind_Backtrace");
	_Unwind_Reason_Code code = unwinding == CRASHES ? _URC_NO_REASON : real(note, user);
	if (unwinding == CRASHES || unwinding == CRASHES_LATE)
		gt_fault("segv");
	while (unwinding == SLEEPS)
		pause();
	while (unwinding == SPINS)
		continue;
	if (unwinding == STOPS)
		raise(SIGSTOP);
	return code;
}

// --- a process that crashes

struct death {
	int status; // as waitpid() has it
	uint64_t key;
	char *text;
	double seconds;
};

static const char *order; // for fault()

static void fault(void)
{
	gt_fault(order);
}

static struct death die(void (*how)(void))
{
	struct death d = {0};
	struct gt_buf text = {0};
	struct gt_backtrace *b = gt_backtrace_new();
	assert_non_null(b);
	int64_t began = gt_clock_ns();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); // one that hangs does not outlive the test
		for (size_t i = 0; i < GT_COUNTOF(signals); i++)
			signal(signals[i], SIG_DFL);
		gt_backtrace_arm(b);
		how();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &d.status, 0), pid);
	d.seconds = (double)(gt_clock_ns() - began) / 1e9;
	d.key = gt_backtrace_text(b, pid, WIFSIGNALED(d.status) ? WTERMSIG(d.status) : 0, &text);
	d.text = gt_strdup(gt_buf_text(&text));
	gt_buf_free(&text);
	munmap(b, sizeof *b);
	return d;
}

static struct death die_by(const char *what)
{
	order = what;
	return die(fault);
}

static void check(struct death *d, int signal, const char *const *holds)
{
	if (!WIFSIGNALED(d->status) || WTERMSIG(d->status) != signal)
		fail_msg("status 0x%x instead of signal %d: %s", (unsigned)d->status, signal, d->text);
	for (; holds && *holds; holds++)
		if (!strstr(d->text, *holds))
			fail_msg("'%s' is not in\n%s", *holds, d->text);
	free(d->text);
}

// It was not the deadline that ended it.
static void assert_reading_ended(const struct death *d)
{
	assert_null(strstr(d->text, "to its end"));
}

#define HOLDS(...) (const char *const[]){__VA_ARGS__, NULL}

// --- what is written down

// The first frame is the very function that crashed, at the place that the file has for it.
static void test_place(void **state)
{
	(void)state;
	if (SANITIZED)
		skip(); // it has handlers of its own, and ends by them
	struct death d = die_by("segv");
	uint64_t offset = 0;
	char path[GT_BACKTRACE_PATH] = "";
	struct gt_symbol symbol;
	assert_int_equal(sscanf(d.text, "#0 test_backtrace+0x%" SCNx64 " (follow_null+0x", &offset),
	                 1);
	assert_true(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
	symbol.offset = offset;
	gt_symbol_find(path, &symbol, 1);
	assert_string_equal(symbol.name, "follow_null");
	assert_true(symbol.start <= offset && offset < symbol.start + 100);
	check(&d, SIGSEGV, HOLDS("(crash+0x", "(gt_fault+0x", "(fault+0x", "(die+0x", "(main+0x"));
}

// What its own child does before is no part of it.
static void crash_after_child(void)
{
	gt_fault("abort:grandchild");
	gt_fault("segv");
}

static void test_ways(void **state)
{
	(void)state;
	static const struct {
		const char *order, *first, *second;
		int signal;
	} ways[] = {
		{"segv", "#0 test_backtrace+0x", "(follow_null+0x", SIGSEGV},
		{"segv:thread", "#0 test_backtrace+0x", "(follow_null+0x", SIGSEGV},
		{"segv:threads", "#0 test_backtrace+0x", "(follow_null+0x", SIGSEGV},
		{"abort", "(abort+0x", "(abort_with_a_word+0x", SIGABRT},
		{"abort:thread", "(abort+0x", "(abort_with_a_word+0x", SIGABRT},
		{"abort:threads", "(abort+0x", "(abort_with_a_word+0x", SIGABRT},
		{"overflow", "the stack is full\n#0 ", "\nand so on\n", SIGSEGV},
		{"overflow:thread", "the stack could not be read\n", "", SIGSEGV},
		{"overflow:threads", "the stack could not be read\n", "", SIGSEGV},
		{"nowhere", "#0 ?+0x0\n#1 test_backtrace+0x", "(call_null+0x", SIGSEGV},
		{"nowhere:thread", "#0 ?+0x0\n#1 test_backtrace+0x", "(call_null+0x", SIGSEGV},
	};
	if (SANITIZED)
		skip();
	for (size_t i = 0; i < GT_COUNTOF(ways); i++) {
		struct death d = die_by(ways[i].order);
		if (strncmp(ways[i].order, "nowhere", 7) != 0) // where the reading has to end early
			assert_reading_ended(&d);
		check(&d, ways[i].signal, HOLDS(ways[i].first, ways[i].second));
	}
	static const char *const harmless[] = {"segv:grandchild", "abort:grandchild",
	                                       "overflow:grandchild"};
	for (size_t i = 0; i < GT_COUNTOF(harmless); i++) {
		struct death d = die_by(harmless[i]);
		assert_int_equal(d.status, 0);
		assert_string_equal(d.text, "");
		free(d.text);
	}
	struct death d = die(crash_after_child);
	check(&d, SIGSEGV, HOLDS("#0 test_backtrace+0x", "(follow_null+0x", "(crash_after_child+0x"));
}

static int number;

static void raise_it(void)
{
	raise(number);
}

static void wait_for_it(void)
{
	pid_t child = getpid();
	if (fork() == 0) {
		kill(child, number);
		_exit(0);
	}
	for (;;)
		pause();
}

static void test_signals(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	for (size_t i = 0; i < GT_COUNTOF(signals); i++) {
		number = signals[i];
		struct death d = die(raise_it);
		assert_true(d.key != 0);
		check(&d, number, HOLDS("#0 libc.so", "(raise_it+0x"));
		d = die(wait_for_it);
		assert_int_equal(d.key, 0); // where it stood is no property of it
		check(&d, number, HOLDS("the signal was sent by another process\n", "(wait_for_it+0x"));
	}
	static const int others[] = {SIGTERM, SIGKILL, SIGHUP, SIGPIPE, SIGXCPU};
	for (size_t i = 0; i < GT_COUNTOF(others); i++) {
		number = others[i];
		struct death d = die(raise_it);
		assert_string_equal(d.text, "");
		check(&d, number, NULL);
	}
}

// --- the key

static void from_deeper(void)
{
	volatile char room[100000]; // the stack is full elsewhere, and everything lies elsewhere
	room[0] = 1;
	gt_fault(order);
	room[1] = room[0];
}

static void test_key(void **state)
{
	(void)state;
	static const char *const orders[] = {"segv", "abort", "overflow", "nowhere", "segv:thread"};
	uint64_t keys[GT_COUNTOF(orders)];
	if (SANITIZED)
		skip();
	for (size_t i = 0; i < GT_COUNTOF(orders); i++) {
		struct death d = die_by(orders[i]), again = die_by(orders[i]);
		keys[i] = d.key;
		assert_true(d.key != 0);
		assert_int_equal(d.key, again.key);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(keys[k], d.key);
		free(d.text);
		free(again.text);
	}
	order = "overflow";
	struct death d = die(from_deeper);
	assert_int_equal(d.key, keys[2]);
	free(d.text);
	order = "segv";
	d = die(from_deeper);
	assert_int_not_equal(d.key, keys[0]); // another caller
	free(d.text);
}

// --- what goes wrong on the way

static void crash_with_signals_blocked(void)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	abort();
}

static void test_unwinder(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	unwinding = CRASHES;
	struct death d = die_by("abort"); // not of the second crash, which is a SIGSEGV
	check(&d, SIGABRT, HOLDS("the stack could not be read to its end\n"));
	d = die(crash_with_signals_blocked); // also not of one that is blocked
	check(&d, SIGABRT, NULL);
	d = die_by("segv:threads");
	check(&d, SIGSEGV, NULL);
	unwinding = CRASHES_LATE;
	d = die_by("abort"); // what was read by then is kept
	check(&d, SIGABRT, HOLDS("(abort_with_a_word+0x", "the stack could not be read to its end\n"));
	for (unwinding = SLEEPS; unwinding <= SPINS; unwinding++) {
		d = die_by("abort");
		assert_true(d.seconds > 1.5);
		check(&d, SIGABRT, HOLDS("(abort_with_a_word+0x"));
		d = die_by("segv:threads"); // seven wait for one that is stuck
		assert_true(d.seconds > 1.5);
		check(&d, SIGSEGV, HOLDS("(follow_null+0x"));
	}
	unwinding = WELL;
}

// Somebody else lets it go on when the time for reading is long over.
static void crash_and_stand_still(void)
{
	char path[64], state = 0;
	pid_t reader = getpid();
	if (fork() != 0)
		gt_fault("abort");
	snprintf(path, sizeof path, "/proc/%ld/stat", (long)reader);
	while (state != 'T') {
		FILE *f = fopen(path, "re");
		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			break;
		fclose(f);
		usleep(1000);
	}
	sleep(3);
	kill(reader, SIGCONT);
	_exit(0);
}

// A machine that stands still is not what holds up the reading.
static void test_stall(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	unwinding = STOPS;
	struct death d = die(crash_and_stand_still);
	unwinding = WELL;
	assert_null(strstr(d.text, "to its end"));
	check(&d, SIGABRT, HOLDS("(abort_with_a_word+0x", "(crash_and_stand_still+0x"));
}

static int crash_in_loader(struct dl_phdr_info *info, size_t size, void *user)
{
	(void)info;
	(void)size;
	(void)user;
	gt_fault("segv");
	return 0;
}

static void crash_with_loader_locked(void)
{
	dl_iterate_phdr(crash_in_loader, NULL);
}

static void *idle(void *unused)
{
	while (!unused)
		pause();
	return NULL;
}

// A second thread makes malloc take its lock, and what it finds makes it abort with that held.
static void crash_with_heap_locked(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, idle, NULL);
	// So large that it comes from the end of the heap; not of a size known to the compiler.
	char *volatile taken = malloc(100000), *last = taken;
	volatile size_t beyond = malloc_usable_size(last);
	memset(last + beyond, 0x7f, 64);
	taken = malloc(100000);
	_exit(9);
}

// As a language's own handler is put in, after us.
static int told[2];

static void tell_and_return(int signal)
{
	(void)!write(told[1], "x", 1);
	(void)signal;
}

static void tell_and_raise(int signal_number)
{
	(void)!write(told[1], "x", 1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void crash_before_handler(void)
{
	signal(SIGSEGV, *order == 'r' ? tell_and_return : tell_and_raise);
	gt_worker_catch_crashes();
	gt_fault("segv");
}

static void test_locks_and_handlers(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	struct death d = die(crash_with_signals_blocked);
	check(&d, SIGABRT, HOLDS("(crash_with_signals_blocked+0x"));
	d = die(crash_with_loader_locked);
	assert_reading_ended(&d);
	check(&d, SIGSEGV, HOLDS("(follow_null+0x", "(crash_with_loader_locked+0x"));
	d = die(crash_with_heap_locked);
	assert_reading_ended(&d);
	check(&d, SIGABRT, HOLDS("(abort+0x", "(crash_with_heap_locked+0x"));
	assert_int_equal(pipe2(told, O_CLOEXEC | O_NONBLOCK), 0);
	for (order = "return"; order; order = *order == 'r' ? "die" : NULL) {
		char word[8];
		d = die(crash_before_handler);
		check(&d, SIGSEGV, HOLDS("#0 test_backtrace+0x", "(follow_null+0x"));
		assert_int_equal(read(told[0], word, sizeof word), 1); // told once
	}
	close(told[0]);
	close(told[1]);
}

// --- what may not be believed

static void test_garbage(void **state)
{
	(void)state;
	struct gt_backtrace *b = gt_zalloc(1, sizeof *b);
	unsigned seed = 1;
	for (int round = 0; round < 300; round++) {
		struct gt_buf text = {0};
		for (size_t i = 0; i < sizeof *b; i++)
			((unsigned char *)b)[i] = (unsigned char)rand_r(&seed);
		b->pid = 7;
		b->signal = SIGSEGV;
		if (round % 2) // some of it has to be read
			b->count %= GT_BACKTRACE_FRAMES + 1;
		for (int i = 0; i < 3; i++)
			snprintf(b->paths[i], GT_BACKTRACE_PATH, i == 1 ? "/dev/tty\n\x1b[2J" : "/proc/self/exe");
		for (size_t i = 0; round % 2 && i < GT_BACKTRACE_FRAMES; i++)
			b->frames[i].module %= 8;
		(void)gt_backtrace_text(b, 7, SIGSEGV, &text);
		assert_true(text.length > 0 && text.length <= GT_BACKTRACE_TEXT);
		assert_null(strchr(text.data, '\x1b'));
		char *clean = gt_utf8_clean(text.data);
		assert_string_equal(clean, text.data);
		free(clean);
		gt_buf_free(&text);
	}
	struct gt_buf text = {0};
	assert_int_equal(gt_backtrace_text(b, 8, SIGSEGV, &text), 0); // another process
	assert_int_equal(gt_backtrace_text(b, 7, SIGBUS, &text), 0);  // another signal
	assert_string_equal(text.data, "the stack could not be read\nthe stack could not be read\n");
	gt_buf_free(&text);
	free(b);
}

// Any file, cut anywhere and with any bytes changed, gives names or none.
static void test_files(void **state)
{
	(void)state;
	struct gt_buf self = {0};
	struct gt_symbol symbols[4];
	unsigned seed = 2;
	char folder[] = "/tmp/gauntlet-symbols-XXXXXX";
	assert_non_null(mkdtemp(folder));
	char *file = gt_path_join(folder, "file"), *pipe_name = gt_path_join(folder, "pipe");
	char exe[PATH_MAX] = "";
	assert_true(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
	assert_int_equal(gt_file_read(exe, (size_t)1 << 28, &self, NULL), GT_OK);
	for (int round = 0; round < 200; round++) {
		char head[64], *bytes = gt_alloc(self.length);
		memcpy(bytes, self.data, self.length);
		size_t length = round % 3 ? self.length : (size_t)rand_r(&seed) % self.length;
		for (int i = 0; i < 8; i++) // of the head, or of the sections at the end
			bytes[round % 2 ? (size_t)rand_r(&seed) % sizeof head
			                : self.length - 1 - (size_t)rand_r(&seed) % 3000] =
				(char)rand_r(&seed);
		assert_int_equal(gt_file_write(file, bytes, length, NULL), GT_OK);
		for (size_t i = 0; i < GT_COUNTOF(symbols); i++)
			symbols[i].offset = (uint64_t)rand_r(&seed) << (rand_r(&seed) % 32);
		gt_symbol_find(file, symbols, GT_COUNTOF(symbols));
		for (size_t i = 0; i < GT_COUNTOF(symbols); i++)
			assert_true(strlen(symbols[i].name) < GT_SYMBOL_NAME);
		free(bytes);
	}
	assert_int_equal(mkfifo(pipe_name, 0600), 0);
	const char *const others[] = {pipe_name, folder, "/nonexistent", "", "/dev/null", "/etc/passwd"};
	for (size_t i = 0; i < GT_COUNTOF(others); i++) {
		symbols[0].offset = 4096;
		gt_symbol_find(others[i], symbols, 1);
		assert_string_equal(symbols[0].name, "");
	}
	(void)!gt_remove_tree(folder, NULL);
	gt_buf_free(&self);
	free(file);
	free(pipe_name);
}

static int begin(void **state)
{
	(void)state;
	alarm(TEST_LIMIT_S);
	return 0;
}

#define LIMITED(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMITED(test_place),   LIMITED(test_ways),     LIMITED(test_signals),
		LIMITED(test_key),     LIMITED(test_unwinder), LIMITED(test_locks_and_handlers),
		LIMITED(test_stall),
		LIMITED(test_garbage), LIMITED(test_files),
	};
	gt_backtrace_warm_up();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
