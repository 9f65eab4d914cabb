#include "worker/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Needs CAP_SYS_ADMIN: unshare for our next child only, then come back so that the next call can
// unshare again (the kernel refuses a second unshare from a namespace that is not one's own).
static pid_t fork_privileged(int home)
{
	if (unshare(CLONE_NEWPID) != 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0)
		return 0;
	int saved = errno;
	if (setns(home, CLONE_NEWPID) != 0)
		abort(); // every later job would land in the wrong namespace
	errno = saved;
	return pid;
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

static bool enter_user_namespace(void)
{
	char uid[64], gid[64];
	snprintf(uid, sizeof uid, "%u %u 1", geteuid(), geteuid());
	snprintf(gid, sizeof gid, "%u %u 1", getegid(), getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
		return false;
	write_text("/proc/self/setgroups", "deny");
	return write_text("/proc/self/uid_map", uid) && write_text("/proc/self/gid_map", gid);
}

// Without privilege there is no way back out of a user namespace, so a go-between enters it: its
// only child is pid 1 there, and it ends as that child ends.
static pid_t fork_in_user_namespace(void)
{
	pid_t host = getpid();
	pid_t between = fork();
	if (between != 0)
		return between;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != host || !enter_user_namespace())
		_exit(1);
	pid_t pid = fork();
	if (pid == 0)
		return 0;
	closefrom(3); // the ends of the host's and the job's conversations are not for it to hold
	int status = 0;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	_exit(pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

pid_t gt_isolation_fork(const struct gt_isolation *isolation)
{
	switch (isolation->kind) {
	case GT_ISOLATION_PRIVILEGED:
		return fork_privileged(isolation->home);
	case GT_ISOLATION_USER:
		return fork_in_user_namespace();
	case GT_ISOLATION_NONE:
		break;
	}
	return fork();
}

// Does a fork of this kind give a child that is pid 1? Tried in a process that can be thrown away.
static bool works(enum gt_isolation_kind kind, int home)
{
	pid_t probe = fork();
	if (probe == 0) {
		struct gt_isolation trial = {.kind = kind, .home = home};
		pid_t pid = gt_isolation_fork(&trial);
		if (pid == 0)
			_exit(getpid() == 1 ? 0 : 1);
		int status = 1;
		if (pid > 0)
			waitpid(pid, &status, 0);
		_exit(status == 0 ? 0 : 1);
	}
	int status = 1;
	while (probe > 0 && waitpid(probe, &status, 0) < 0 && errno == EINTR)
		continue;
	return probe > 0 && status == 0;
}

// The strongest kind that GAUNTLET_ISOLATION leaves to us.
static enum gt_isolation_kind strongest_wanted(void)
{
	const char *wanted = getenv("GAUNTLET_ISOLATION");
	if (!wanted || !*wanted)
		return GT_ISOLATION_PRIVILEGED;
	if (strcmp(wanted, "user") == 0)
		return GT_ISOLATION_USER;
	if (strcmp(wanted, "none") == 0)
		return GT_ISOLATION_NONE;
	fprintf(stderr, "gauntlet: GAUNTLET_ISOLATION is '%s', neither 'user' nor 'none'; not used\n",
	        wanted);
	return GT_ISOLATION_PRIVILEGED;
}

void gt_isolation_probe(struct gt_isolation *isolation)
{
	enum gt_isolation_kind wanted = strongest_wanted();
	isolation->home = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (wanted == GT_ISOLATION_PRIVILEGED && isolation->home >= 0 &&
	    works(GT_ISOLATION_PRIVILEGED, isolation->home))
		isolation->kind = GT_ISOLATION_PRIVILEGED;
	else if (wanted != GT_ISOLATION_NONE && works(GT_ISOLATION_USER, -1))
		isolation->kind = GT_ISOLATION_USER;
	else
		isolation->kind = GT_ISOLATION_NONE;
}

const char *gt_isolation_describe(const struct gt_isolation *isolation)
{
	switch (isolation->kind) {
	case GT_ISOLATION_PRIVILEGED:
		return "pid namespace";
	case GT_ISOLATION_USER:
		return "pid namespace in a user namespace";
	case GT_ISOLATION_NONE:
		break;
	}
	return "process group";
}
