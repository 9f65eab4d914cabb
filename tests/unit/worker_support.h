// What the tests of worker/ and run/ share: a job's child that misbehaves on request, and a way to
// see whether any process of a test is left.
#ifndef WORKER_SUPPORT_H
#define WORKER_SUPPORT_H

#include "base/clock.h"
#include "base/file.h"
#include "worker/frame.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// A crash is to be a crash also where sanitizers would make a report of it.
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigfpe=0:handle_sigill=0";
}

// Processes are told apart by their name, which forks inherit.
static char mark[16];

static inline void new_mark(void)
{
	static int count;
	snprintf(mark, sizeof mark, "gt%x-%x", (unsigned)getpid(), (unsigned)count++);
}

// In a host, whose parent is the test: bear its mark, with an 'h' in front.
static inline void take_mark(void)
{
	char path[64], name[32] = "";
	snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
	FILE *f = fopen(path, "r");
	if (!f || !fgets(name, sizeof name, f))
		_exit(9);
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
	name[0] = 'h';
	prctl(PR_SET_NAME, name);
}

// How many living processes bear the mark; the first `max` of them in `pids`.
static inline size_t marked(pid_t *pids, size_t max)
{
	size_t n = 0;
	DIR *proc = opendir("/proc");
	for (struct dirent *e; proc && (e = readdir(proc));) {
		char path[300], stat[512];
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		FILE *f = fopen(path, "r");
		if (!f)
			continue;
		size_t got = fread(stat, 1, sizeof stat - 1, f);
		fclose(f);
		stat[got] = '\0';
		char *name = strchr(stat, '('), *end = strrchr(stat, ')');
		if (!name || !end || end[2] == 'Z' || end[2] == 'X')
			continue;
		*end = '\0';
		if (strcmp(name + 1, mark) != 0)
			continue;
		if (n < max)
			pids[n] = (pid_t)atol(e->d_name);
		n++;
	}
	if (proc)
		closedir(proc);
	return n;
}

static inline pid_t parent_of(pid_t pid)
{
	char path[64], stat[512] = "";
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f && !fgets(stat, sizeof stat, f))
		stat[0] = '\0';
	if (f)
		fclose(f);
	char *end = strrchr(stat, ')');
	return end ? (pid_t)atol(end + 4) : 0;
}

// Kill what a host has forked: its own children, or the last of each line below them, which is the
// child of a job that has forked nothing (a go-between may stand in the middle).
static inline void kill_below_host(pid_t host, bool supervisors)
{
	pid_t pids[64], parents[64];
	size_t n = marked(pids, 64);
	n = n < 64 ? n : 64;
	for (size_t i = 0; i < n; i++)
		parents[i] = parent_of(pids[i]);
	for (size_t i = 0; i < n; i++) {
		bool first = parents[i] == host, last = pids[i] != host && !first;
		for (size_t k = 0; k < n; k++)
			last = last && parents[k] != pids[i];
		// The last of a line that begins at another host is not meant.
		pid_t top = parents[i];
		for (int depth = 0; last && top != host && depth < 4; depth++)
			top = parent_of(top);
		if (host && (supervisors ? first : last && top == host))
			kill(pids[i], SIGKILL);
	}
}

// Whatever is waited for comes sooner, however long anybody stands still, or never.
#define PATIENCE_S 60

// Wait until that many are left; false if they never are.
static inline bool marked_become(size_t wanted)
{
	int64_t until = gt_clock_ns() + PATIENCE_S * INT64_C(1000000000);
	while (marked(NULL, 0) != wanted) {
		if (gt_clock_ns() > until)
			return false;
		usleep(2000);
	}
	return true;
}

static inline bool is_stopped(pid_t pid)
{
	char path[64], stat[512];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	const char *end = gt_kernel_file_read(path, stat, sizeof stat) ? strrchr(stat, ')') : NULL;
	return end && end[2] == 'T';
}

// Wait until a process with the mark has stopped: a signal that was sent has not arrived yet.
static inline bool one_is_stopped(void)
{
	int64_t until = gt_clock_ns() + PATIENCE_S * INT64_C(1000000000);
	while (gt_clock_ns() < until) {
		pid_t pids[64];
		size_t n = marked(pids, GT_COUNTOF(pids));
		for (size_t i = 0; i < n && i < GT_COUNTOF(pids); i++)
			if (is_stopped(pids[i]))
				return true;
		usleep(2000);
	}
	return false;
}

// A job that has come so far makes a file in its working folder, `folder`; wait for it and take it away.
static inline bool is_ready(const char *folder, const char *name)
{
	char *path = gt_path_join(folder, name);
	int64_t until = gt_clock_ns() + PATIENCE_S * INT64_C(1000000000);
	while (access(path, F_OK) != 0 && gt_clock_ns() < until)
		usleep(1000);
	bool ready = unlink(path) == 0;
	free(path);
	return ready;
}

// The other way round: a job waits for such a file.
static inline void give_way(const char *folder, const char *name)
{
	char *path = gt_path_join(folder, name);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	free(path);
}

// A process says below `folder` that it has come to where it stays, by the number that it has there where
// /proc was mounted: in its own namespace it has another.
static inline void say_busy(const char *folder)
{
	char pid[32] = "", name[48];
	if (readlink("/proc/self", pid, sizeof pid - 1) < 0)
		_exit(9);
	snprintf(name, sizeof name, "busy-%s", pid);
	give_way(folder, name);
}

// One that has said so, each once; 0 if nobody has.
static inline pid_t take_busy(const char *folder)
{
	pid_t found = 0;
	struct gt_names names = {0};
	if (gt_list_folder(folder, &names, NULL))
		return 0;
	for (size_t i = 0; !found && i < names.count; i++) {
		char *path = gt_path_join(folder, names.items[i]);
		if (strncmp(names.items[i], "busy-", 5) == 0 && unlink(path) == 0)
			found = (pid_t)atol(names.items[i] + 5);
		free(path);
	}
	gt_names_free(&names);
	return found;
}

static inline void fork_sleeper(bool own_session)
{
	pid_t pid = fork();
	if (pid != 0)
		return;
	if (own_session)
		setsid();
	for (;;)
		sleep(60);
}

// A sleeper whose parent is gone: nobody but a subreaper or a namespace knows it.
static inline void fork_daemon(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		fork_sleeper(true);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

// One called `name` that stays, with a child that has ended and that it does not wait for.
static inline void fork_careless(const char *name)
{
	siginfo_t ended;
	if (fork() == 0) {
		setsid();
		prctl(PR_SET_NAME, name);
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT);
		give_way(".", "careless");
		for (;;)
			sleep(60);
	}
	(void)is_ready(".", "careless");
}

// One line per open descriptor, as the child of a job sees them.
static inline char *list_descriptors(void)
{
	struct gt_buf text = {0};
	for (int fd = 0; fd < 256; fd++) {
		char path[64], target[256];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, target, sizeof target - 1);
		if (n > 0)
			gt_buf_printf(&text, "%d ", fd);
	}
	return gt_buf_take(&text);
}

static inline size_t own_descriptors(void)
{
	char *text = list_descriptors();
	size_t n = 0;
	for (char *p = text; *p; p++)
		n += *p == ' ';
	free(text);
	return n;
}

// No process with the mark, and as many descriptors as there were before.
static inline bool nothing_is_left(size_t descriptors_before)
{
	bool gone = marked_become(0);
	size_t descriptors = own_descriptors();
	if (!gone)
		fprintf(stderr, "processes are left\n");
	if (descriptors != descriptors_before)
		fprintf(stderr, "%zu descriptors became %zu\n", descriptors_before, descriptors);
	return gone && descriptors == descriptors_before;
}

static inline void flood(size_t bytes)
{
	char line[1024];
	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	for (size_t i = 0; i < bytes / sizeof line; i++)
		if (gt_write_all(1, line, sizeof line))
			_exit(9);
}

static inline void misbehave(const char *what)
{
	static volatile uintptr_t nowhere = 64; // not a constant to the compiler
	if (strncmp(what, "raise ", 6) == 0)
		raise(atoi(what + 6));
	else if (strncmp(what, "supervisor ", 11) == 0)
		kill(getppid(), atoi(what + 11));
	else if (strncmp(what, "exit ", 5) == 0)
		_exit(atoi(what + 5));
	else if (strncmp(what, "abort", 5) == 0)
		abort();
	else if (strcmp(what, "segfault") == 0)
		*(volatile int *)nowhere = 1;
	else if (strcmp(what, "garbage") == 0)
		(void)!write(3, "this is no frame at all", 23);
	else if (strcmp(what, "empty") == 0)
		(void)!write(3, "", 0);
	else if (strcmp(what, "flood") == 0)
		flood((size_t)10 << 20);
	else if (strcmp(what, "session") == 0)
		fork_sleeper(true);
	else if (strcmp(what, "daemon") == 0)
		fork_daemon();
	else if (strncmp(what, "careless ", 9) == 0)
		fork_careless(what + 9);
	else if (strcmp(what, "many") == 0)
		for (int i = 0; i < 40; i++)
			fork_daemon();
	else if (strncmp(what, "busy", 4) == 0)
		for (;;)
			;
	else if (strncmp(what, "ready", 5) == 0)
		give_way(".", what);
	else if (strncmp(what, "wait ", 5) == 0)
		(void)is_ready(".", what + 5);
	else if (strcmp(what, "stop") == 0)
		raise(SIGSTOP);
	else if (strcmp(what, "deaf") == 0)
		signal(SIGTERM, SIG_IGN);
	else if (strcmp(what, "close") == 0)
		for (int fd = 0; fd < 64; fd++)
			close(fd);
	else if (strcmp(what, "reply") == 0)
		(void)!gt_frame_send(3, "{\"ok\":true}", 11, NULL);
	else if (strncmp(what, "print ", 6) == 0)
		(void)!(printf("%s\n", what + 6) + fflush(stdout));
}

// The `serve` of a host under test: a request is what to do, separated by ";". The reply is the last
// of them if it is JSON, else {"ok":true}; "mute": none.
static inline void serve_script(void *self, const char *request, char **out)
{
	(void)self;
	char *script = gt_strdup(request), *rest = script;
	char *reply = gt_strdup("{\"ok\":true}");
	for (char *what; (what = strtok_r(rest, ";", &rest));) {
		if (what[0] == '{' || strncmp(what, "say ", 4) == 0) {
			free(reply);
			reply = gt_strdup(what[0] == '{' ? what : what + 4);
		} else if (strcmp(what, "descriptors") == 0) {
			free(reply);
			reply = list_descriptors();
		} else if (strcmp(what, "where") == 0) {
			char here[512] = "";
			free(reply);
			reply = gt_format("%s %s %s", getcwd(here, sizeof here) ? here : "?",
			                  getenv("TMPDIR"), getenv("HOME"));
		} else if (strcmp(what, "mute") == 0) {
			free(reply);
			reply = NULL;
		} else if (strcmp(what, "long") == 0) {
			free(reply);
			reply = gt_zalloc(GT_FRAME_MAX + 2, 1);
			memset(reply, 'y', GT_FRAME_MAX + 1);
		} else {
			misbehave(what);
		}
	}
	free(script);
	*out = reply;
}

// The host of that kind that this process has started; 0 if there is none.
static inline pid_t host_called(const char *kind)
{
	pid_t pids[64], found = 0;
	size_t n = marked(pids, GT_COUNTOF(pids));
	for (size_t i = 0; i < n && i < GT_COUNTOF(pids); i++) {
		char path[64], words[1024] = "";
		snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pids[i]);
		FILE *f = fopen(path, "r");
		size_t got = f ? fread(words, 1, sizeof words - 1, f) : 0;
		if (f)
			fclose(f);
		const char *second = words + strlen(words) + 1;
		const char *third = second + strlen(second) + 1;
		const char *name = strcmp(second, "-I") == 0 ? "frontend" : third;
		if (got && parent_of(pids[i]) == getpid() && strcmp(name, kind) == 0)
			found = pids[i];
	}
	return found;
}

// Write a file until there is no room left on its disk.
static inline void fill_disk(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	char block[4096] = {1};
	while (write(fd, block, sizeof block) > 0)
		continue;
	while (write(fd, block, 1) > 0)
		continue;
	close(fd);
}

static inline size_t descriptors_of(pid_t pid)
{
	size_t n = 0;
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));)
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static inline bool readable(int fd, int timeout_ms)
{
	struct pollfd on = {.fd = fd, .events = POLLIN};
	return poll(&on, 1, timeout_ms) == 1;
}

static inline void *sleep_for_ever(void *unused)
{
	while (!unused)
		pause();
	return NULL;
}

#endif // WORKER_SUPPORT_H
