#include "worker/isolation.h"

#include "base/file.h"

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

// How a probe ends. Only what the kernel refuses is an answer: somebody may kill any process, and there
// may be no room for another one just now.
enum { WORKS = 0, REFUSED = 1, UNCLEAR = 2 };

#define PROBE_TRIES 4
#define PROBE_PAUSE_US 10000

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

// What an error of fork() or unshare() says about them.
static int judge_error(int error)
{
	return error == EAGAIN || error == ENOMEM || error == EINTR ? UNCLEAR : REFUSED;
}

static bool enter_user_namespace(void)
{
	char uid[64], gid[64];
	snprintf(uid, sizeof uid, "%u %u 1", geteuid(), geteuid());
	snprintf(gid, sizeof gid, "%u %u 1", getegid(), getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
		return false;
	gt_kernel_file_write("/proc/self/setgroups", "deny");
	return gt_kernel_file_write("/proc/self/uid_map", uid) &&
	       gt_kernel_file_write("/proc/self/gid_map", gid);
}

static int wait_for(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return UNCLEAR;
	return WIFEXITED(status) ? WEXITSTATUS(status) : UNCLEAR;
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
	if (getppid() != host)
		_exit(UNCLEAR);
	if (!enter_user_namespace())
		_exit(judge_error(errno));
	pid_t pid = fork();
	if (pid == 0)
		return 0;
	if (pid < 0)
		_exit(judge_error(errno));
	closefrom(3); // the ends of the host's and the job's conversations are not for it to hold
	_exit(wait_for(pid));
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
static int try_fork(enum gt_isolation_kind kind, int home)
{
	pid_t probe = fork();
	if (probe < 0)
		return UNCLEAR;
	if (probe > 0)
		return wait_for(probe);
	struct gt_isolation trial = {.kind = kind, .home = home};
	pid_t pid = gt_isolation_fork(&trial);
	if (pid == 0)
		_exit(getpid() == 1 ? WORKS : REFUSED);
	_exit(pid < 0 ? judge_error(errno) : wait_for(pid));
}

static bool works(enum gt_isolation_kind kind, int home)
{
	int answer = UNCLEAR;
	for (int i = 0; answer == UNCLEAR && i < PROBE_TRIES; i++) {
		if (i > 0)
			usleep(PROBE_PAUSE_US);
		answer = try_fork(kind, home);
	}
	return answer == WORKS;
}

gt_code gt_isolation_check(struct gt_err *err)
{
	const char *wanted = getenv("GAUNTLET_ISOLATION");
	if (!wanted || !*wanted || strcmp(wanted, "user") == 0 || strcmp(wanted, "none") == 0)
		return GT_OK;
	return gt_fail(err, GT_BAD_USAGE, "GAUNTLET_ISOLATION is '%s', none of 'user' and 'none'", wanted);
}

// The strongest kind that GAUNTLET_ISOLATION leaves to us.
static enum gt_isolation_kind strongest_wanted(void)
{
	const char *wanted = getenv("GAUNTLET_ISOLATION");
	if (wanted && strcmp(wanted, "user") == 0)
		return GT_ISOLATION_USER;
	if (wanted && strcmp(wanted, "none") == 0)
		return GT_ISOLATION_NONE;
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
