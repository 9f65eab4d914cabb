#include "worker/tree.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool gt_tree_kill_children(bool (*spare)(const void *user, pid_t pid), const void *user)
{
	char path[64], pids[4096];
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, pids, sizeof pids - 1);
	close(fd);
	pids[n > 0 ? n : 0] = '\0';
	// A number is whole if a space follows it; what did not fit is for the next round.
	for (char *p = pids, *end; (end = strchr(p, ' ')); p = end + 1) {
		pid_t pid = (pid_t)strtol(p, NULL, 10);
		if (pid > 0 && !(spare && spare(user, pid)))
			kill(pid, SIGKILL);
	}
	return n >= 0;
}
