#include "worker/tree.h"

#include "base/buf.h"
#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// More generations than this are a bomb, which is killed and not looked at.
#define MAX_DEPTH 32
#define MAX_NAMES 16

// The numbers in a file of /proc, each with a space behind it; NULL if there is no such file.
static char *read_list(const char *path)
{
	struct gt_buf list = {0};
	if (gt_stream_read(path, SIZE_MAX, &list, NULL) && !list.length)
		return NULL;
	return gt_buf_take(&list);
}

int gt_tree_kill_children(bool (*spare)(const void *user, pid_t pid), const void *user)
{
	int count = 0;
	char *pids = read_list("/proc/thread-self/children");
	if (!pids)
		return -1;
	for (char *p = pids, *end; (end = strchr(p, ' ')); p = end + 1) {
		pid_t pid = (pid_t)strtol(p, NULL, 10);
		if (pid <= 0 || (spare && spare(user, pid)))
			continue;
		kill(pid, SIGKILL);
		count++;
	}
	free(pids);
	return count;
}

// Does this thread wait until the child that it made last has an address space of its own? clone3()
// keeps its flags in the caller's memory, but nothing else makes a thread sleep there.
static bool waits_in_vfork(long pid, long thread)
{
	char path[80], text[256], *rest;
	snprintf(path, sizeof path, "/proc/%ld/task/%ld/syscall", pid, thread);
	if (!gt_kernel_file_read(path, text, sizeof text) || !isdigit((unsigned char)text[0]))
		return false; // it runs, or that is not for us to know
	long number = strtol(text, &rest, 10);
	unsigned long flags = strtoul(rest, NULL, 16);
#ifdef SYS_vfork
	if (number == SYS_vfork)
		return true;
#endif
	return number == SYS_clone3 ||
	       (number == SYS_clone && flags & CLONE_VM && flags & CLONE_VFORK);
}

struct visitor {
	void (*visit)(long pid, bool borrows, void *user);
	void *user;
};

static void visit_below(long pid, int depth, const struct visitor *visitor);

// The children that one thread has started, and what is below them.
static void visit_children(long pid, long thread, const char *pids, int depth,
                           const struct visitor *visitor)
{
	// Asked after the list was made: who shares no memory now had not yet begun to, or has ceased.
	bool waits = pid && *pids && waits_in_vfork(pid, thread);
	for (const char *p = pids, *end; (end = strchr(p, ' ')); p = end + 1) {
		long child = strtol(p, NULL, 10);
		visitor->visit(child, waits && !strchr(end + 1, ' '), visitor->user);
		visit_below(child, depth + 1, visitor);
	}
}

static void visit_below(long pid, int depth, const struct visitor *visitor)
{
	char path[80];
	snprintf(path, sizeof path, "/proc/%ld/task", pid);
	DIR *threads = depth < MAX_DEPTH ? opendir(path) : NULL;
	for (struct dirent *e; threads && (e = readdir(threads));) {
		long thread = strtol(e->d_name, NULL, 10);
		snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", pid, thread);
		char *pids = thread > 0 ? read_list(path) : NULL;
		if (pids)
			visit_children(pid, thread, pids, depth, visitor);
		free(pids);
	}
	if (threads)
		closedir(threads);
}

void gt_tree_visit(void (*visit)(long pid, bool borrows, void *user), void *user)
{
	char *pids = read_list("/proc/thread-self/children"); // who visits has one thread
	struct visitor visitor = {.visit = visit, .user = user};
	if (pids)
		visit_children(0, 0, pids, 0, &visitor);
	free(pids);
}

struct names {
	size_t count;
	struct {
		char name[20];
		int times;
	} items[MAX_NAMES];
};

// Name and state stand in /proc/PID/stat as "PID (NAME) STATE ..."; the name may hold anything.
static void add_name(long pid, bool borrows, void *user)
{
	(void)borrows;
	struct names *all = user;
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	if (!gt_kernel_file_read(path, text, sizeof text))
		return;
	char *name = strchr(text, '('), *end = strrchr(text, ')');
	if (!name || !end || end[1] != ' ' || end[2] == 'Z' || end[2] == 'X')
		return;
	*end = '\0';
	name++;
	size_t i = 0;
	while (i < all->count && strncmp(all->items[i].name, name, sizeof all->items[i].name - 1) != 0)
		i++;
	if (i == MAX_NAMES)
		return;
	if (i == all->count) {
		snprintf(all->items[i].name, sizeof all->items[i].name, "%.19s", name);
		all->count++;
	}
	all->items[i].times++;
}

void gt_tree_names(char *text, size_t size)
{
	struct names all = {0};
	size_t used = 0;
	gt_tree_visit(add_name, &all);
	text[0] = '\0';
	for (size_t i = 0; i < all.count && used < size; i++) {
		int n = snprintf(text + used, size - used, "%s%s", i ? ", " : "", all.items[i].name);
		used += n > 0 ? (size_t)n : 0;
		if (all.items[i].times > 1 && used < size) {
			n = snprintf(text + used, size - used, " (%d)", all.items[i].times);
			used += n > 0 ? (size_t)n : 0;
		}
	}
}
