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

// The number by which /proc knows a process; 0 if that cannot be found out.
static long number_in_proc(pid_t pid)
{
	char path[64], text[512];
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	bool told = gt_kernel_file_read(path, text, sizeof text);
	close(fd);
	const char *line = told ? strstr(text, "\nPid:") : NULL;
	return line ? strtol(line + 5, NULL, 10) : 0;
}

// The name stands in /proc/PID/stat as "PID (NAME) STATE ..."; it may hold anything.
static void read_name(pid_t pid, char *name, size_t size)
{
	char path[64], text[512];
	snprintf(name, size, "?");
	snprintf(path, sizeof path, "/proc/%ld/stat", number_in_proc(pid));
	if (!gt_kernel_file_read(path, text, sizeof text))
		return;
	char *from = strchr(text, '('), *end = strrchr(text, ')');
	if (!from || !end)
		return;
	*end = '\0';
	snprintf(name, size, "%s", from + 1);
}

void gt_tree_names_add(struct gt_tree_names *names, pid_t pid)
{
	char name[sizeof names->items[0].name];
	read_name(pid, name, sizeof name);
	size_t i = 0;
	while (i < names->count && strcmp(names->items[i].name, name) < 0)
		i++;
	if (i < names->count && strcmp(names->items[i].name, name) == 0) {
		names->items[i].times++;
		return;
	}
	// Which have room must not depend on who died first.
	if (i == GT_TREE_NAMES) {
		names->others++;
		return;
	}
	if (names->count == GT_TREE_NAMES)
		names->others += names->items[--names->count].times;
	memmove(&names->items[i + 1], &names->items[i], (names->count - i) * sizeof names->items[0]);
	memcpy(names->items[i].name, name, sizeof name);
	names->items[i].times = 1;
	names->count++;
}

// Put one more name behind `used` bytes of `text` if that leaves `spare`. Returns the bytes used then.
static size_t add_word(char *text, size_t size, size_t used, size_t spare, const char *name,
                       unsigned times)
{
	char number[16] = "";
	if (times > 1)
		snprintf(number, sizeof number, " (%u)", times);
	size_t needed = (used ? 2 : 0) + strlen(name) + strlen(number);
	if (used + needed + spare >= size)
		return used;
	snprintf(text + used, size - used, "%s%s%s", used ? ", " : "", name, number);
	return used + needed;
}

void gt_tree_names_text(const struct gt_tree_names *names, char *text, size_t size)
{
	size_t used = 0, room_for_others = sizeof ", others (4294967295)";
	unsigned others = names->others;
	text[0] = '\0';
	for (size_t i = 0; i < names->count; i++) {
		unsigned times = names->items[i].times;
		size_t now = add_word(text, size, used, room_for_others, names->items[i].name, times);
		others += now == used ? times : 0;
		used = now;
	}
	if (others == 1) // a number makes it plain that this is no name
		add_word(text, size, used, 0, "others (1)", 1);
	else if (others)
		add_word(text, size, used, 0, "others", others);
}
