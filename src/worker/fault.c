#include "worker/fault.h"

#include "base/file.h"
#include "base/hash.h"
#include "worker/frame.h"
#include "worker/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static int signal_number(const char *name)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (int s = 1; s < NSIG; s++) {
		const char *abbreviation = sigabbrev_np(s);
		if (abbreviation && strcmp(abbreviation, name) == 0)
			return s;
	}
	return SIGABRT;
}

static void die_by(const char *name)
{
	int number = signal_number(name);
	signal(number, SIG_DFL);
	raise(number);
	abort(); // one that does not kill: the order was wrong
}

static void *die_in_thread(void *name)
{
	die_by(name);
	return NULL;
}

static void fault_signal(const char *argument)
{
	die_by(argument);
}

static void fault_thread(const char *argument)
{
	pthread_t thread;
	pthread_create(&thread, NULL, die_in_thread, (void *)(uintptr_t)argument);
	pthread_join(thread, NULL);
}

static void fault_grandchild(const char *argument)
{
	pid_t pid = fork();
	if (pid == 0)
		die_by(argument);
	waitpid(pid, NULL, 0);
}

// --- crashes by what the code does, in one of the places ---

static void *follow_null(void *unused)
{
	static volatile uintptr_t nowhere; // not a constant to the compiler, which may not remove this
	(void)unused;
	*(volatile int *)nowhere = 1;
	return NULL;
}

static void *abort_with_a_word(void *unused)
{
	(void)unused;
	fputs("fault: an assertion that does not hold\n", stderr);
	abort();
}

// The compiler must neither see that this never ends nor make a loop of it.
static volatile int deeper = 1;

static int fill_stack(int depth)
{
	volatile char page[256];
	page[0] = (char)depth;
	return deeper ? fill_stack(depth + 1) + page[0] : page[0];
}

static void *overflow(void *unused)
{
	(void)unused;
	deeper = fill_stack(0);
	return NULL;
}

static void *call_null(void *unused)
{
	static void (*volatile nowhere)(void);
	(void)unused;
	nowhere();
	deeper = 1; // so that it was no jump
	return NULL;
}

static void crash(const char *where, void *(*how)(void *))
{
	pthread_t threads[8];
	size_t count = strcmp(where, "thread") == 0 ? 1 : strcmp(where, "threads") == 0 ? 8 : 0;
	for (size_t i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, how, NULL);
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	if (strcmp(where, "grandchild") == 0) {
		pid_t pid = fork();
		if (pid != 0) {
			waitpid(pid, NULL, 0);
			return;
		}
	}
	how(NULL);
}

static void fault_segv(const char *argument)
{
	crash(argument, follow_null);
}

static void fault_abort(const char *argument)
{
	crash(argument, abort_with_a_word);
}

static void fault_overflow(const char *argument)
{
	crash(argument, overflow);
}

static void fault_nowhere(const char *argument)
{
	crash(argument, call_null);
}

static void fault_exit(const char *argument)
{
	_exit(atoi(argument));
}

static void fault_silent(const char *argument)
{
	(void)argument;
	exit(0);
}

static void send_raw(const void *bytes, size_t length)
{
	(void)!send(GT_CHILD_FD, bytes, length, MSG_NOSIGNAL);
}

static void fault_garbage(const char *argument)
{
	static const char bytes[] = "this is what a stray library prints to a descriptor";
	(void)argument;
	send_raw(bytes, sizeof bytes);
	_exit(0);
}

static const char good_reply[] = "{\"ok\":true,\"files\":[],\"detail\":{}}";

static void fault_half_frame(const char *argument)
{
	struct {
		struct gt_frame_header header;
		char text[sizeof good_reply];
	} frame = {.header = {.magic = GT_FRAME_MAGIC, .length = sizeof good_reply - 1,
	                      .checksum = gt_hash64(good_reply, sizeof good_reply - 1)}};
	(void)argument;
	memcpy(frame.text, good_reply, sizeof good_reply);
	send_raw(&frame, sizeof frame.header + sizeof good_reply / 2);
	_exit(0);
}

static void fault_not_json(const char *argument)
{
	(void)argument;
	(void)!gt_frame_send(GT_CHILD_FD, "{\"ok\":", 6, NULL);
	_exit(0);
}

static void fault_crash_after_reply(const char *argument)
{
	(void)argument;
	(void)!gt_frame_send(GT_CHILD_FD, good_reply, sizeof good_reply - 1, NULL);
	die_by("SIGSEGV");
}

static void fault_busy(const char *argument)
{
	(void)argument;
	for (volatile uint64_t n = 0;; n++)
		continue;
}

static void fault_sleep(const char *argument)
{
	if (*argument)
		usleep((useconds_t)atol(argument) * 1000);
	while (!*argument)
		pause();
}

static void fault_until(const char *argument)
{
	while (access(argument, F_OK) != 0)
		usleep(1000);
}

static void fault_stubborn(const char *argument)
{
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_IGN);
	fault_sleep(argument);
}

static void fault_stop(const char *argument)
{
	(void)argument;
	raise(SIGSTOP);
}

static void fault_flood(const char *argument)
{
	char line[1024];
	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	size_t lines = (size_t)atol(argument) * MIB / sizeof line;
	for (size_t i = 0; i < lines; i++)
		(void)!gt_write_all(i % 2 ? 2 : 1, line, sizeof line);
}

static void fault_memory(const char *argument)
{
	size_t bytes = (size_t)atol(argument) * MIB;
	// Piece by piece, so that a limit is met on the way and not at the first touch.
	for (size_t done = 0; done < bytes; done += MIB) {
		char *piece = malloc(MIB);
		if (!piece)
			abort();
		memset(piece, 1, MIB);
		if (done % (16 * MIB) == 0)
			usleep(1000);
	}
	sleep(1);
}

static void fault_leak(const char *argument)
{
	int count = *argument ? atoi(argument) : 1;
	for (int i = 0; i < count; i++) {
		if (fork() != 0)
			continue;
		setsid();
		if (fork() != 0) // its parent is gone at once, as a daemon's is
			_exit(0);
		for (int s = 1; s < NSIG; s++)
			signal(s, SIG_IGN);
		fault_sleep("");
	}
	while (wait(NULL) > 0)
		continue;
}

// Whoever looks finds another process than a moment ago; they end by themselves after seconds.
static void fault_spread(const char *argument)
{
	(void)argument;
	if (fork() != 0)
		return;
	for (int i = 0; i < 5000; i++) {
		setsid();
		if (fork() != 0)
			_exit(0);
		usleep(1000);
	}
	_exit(0);
}

static void fault_half_file(const char *argument)
{
	int fd = open(*argument ? argument : "half", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	(void)!gt_write_all(fd, "{\"format\":1,\"values\":[{", 23);
	close(fd);
	die_by("SIGABRT");
}

static void fault_fill_disk(const char *argument)
{
	static char chunk[65536];
	int fd = open(*argument ? argument : "filler", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	while (write(fd, chunk, sizeof chunk) > 0)
		continue;
	close(fd);
}

static void fault_pass(const char *argument)
{
	(void)argument;
}

// Do one order of `n` bytes.
static bool commit(const char *order, size_t n)
{
	static const struct {
		const char *word;
		void (*commit)(const char *argument);
	} faults[] = {
		{"pass", fault_pass},
		{"exit", fault_exit},
		{"silent", fault_silent},
		{"signal", fault_signal},
		{"thread", fault_thread},
		{"grandchild", fault_grandchild},
		{"segv", fault_segv},
		{"abort", fault_abort},
		{"overflow", fault_overflow},
		{"nowhere", fault_nowhere},
		{"garbage", fault_garbage},
		{"half-frame", fault_half_frame},
		{"not-json", fault_not_json},
		{"crash-after-reply", fault_crash_after_reply},
		{"busy", fault_busy},
		{"sleep", fault_sleep},
		{"until", fault_until},
		{"stubborn", fault_stubborn},
		{"stop", fault_stop},
		{"flood", fault_flood},
		{"memory", fault_memory},
		{"leak", fault_leak},
		{"spread", fault_spread},
		{"half-file", fault_half_file},
		{"fill-disk", fault_fill_disk},
	};
	char word[256];
	if (n >= sizeof word)
		return false;
	memcpy(word, order, n);
	word[n] = '\0';
	char *colon = strchr(word, ':');
	const char *argument = colon ? colon + 1 : "";
	if (colon)
		*colon = '\0';
	for (size_t i = 0; i < GT_COUNTOF(faults); i++) {
		if (strcmp(faults[i].word, word) != 0)
			continue;
		faults[i].commit(argument);
		return true;
	}
	return false;
}

bool gt_fault(const char *order)
{
	for (;; order++) {
		size_t n = strcspn(order, "+");
		if (!commit(order, n))
			return false;
		order += n;
		if (!*order)
			return true;
	}
}
