#include "worker/tree.h"

#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// More generations than this are a bomb, which is killed and not looked at.
#define MAX_DEPTH 32
#define MAX_NAMES 16

bool gt_tree_kill_children(bool (*spare)(const void *user, pid_t pid), const void *user)
{
	char pids[4096];
	if (!gt_kernel_file_read("/proc/thread-self/children", pids, sizeof pids))
		return false;
	// A number is whole if a space follows it; what did not fit is for the next round.
	for (char *p = pids, *end; (end = strchr(p, ' ')); p = end + 1) {
		pid_t pid = (pid_t)strtol(p, NULL, 10);
		if (pid > 0 && !(spare && spare(user, pid)))
			kill(pid, SIGKILL);
	}
	return true;
}

static void visit_below(const char *children, int depth, void (*visit)(long, void *), void *user)
{
	char pids[4096], path[64];
	if (depth == MAX_DEPTH || !gt_kernel_file_read(children, pids, sizeof pids))
		return;
	for (char *p = pids, *end; (end = strchr(p, ' ')); p = end + 1) {
		long pid = strtol(p, NULL, 10);
		visit(pid, user);
		snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", pid, pid);
		visit_below(path, depth + 1, visit, user);
	}
}

void gt_tree_visit(void (*visit)(long pid, void *user), void *user)
{
	visit_below("/proc/thread-self/children", 0, visit, user);
}

struct names {
	size_t count;
	struct {
		char name[20];
		int times;
	} items[MAX_NAMES];
};

// Name and state stand in /proc/PID/stat as "PID (NAME) STATE ..."; the name may hold anything.
static void add_name(long pid, void *user)
{
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
