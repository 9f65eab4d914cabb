#include "worker/host_fault.h"

#include "base/status.h"
#include "worker/host.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GATHERED ((size_t)40 << 20)

static void die(int number)
{
	signal(number, SIG_DFL);
	raise(number);
}

static void fault_start(int control)
{
	(void)control;
	die(SIGSEGV);
}

static void fault_fork(int control)
{
	(void)control;
	die(SIGKILL);
}

static void fault_idle(int control)
{
	(void)control;
	die(SIGABRT);
}

static void fault_hang(int control)
{
	(void)control;
	for (;;)
		pause();
}

static void fault_garbage(int control)
{
	(void)!send(control, "no notice at all, but long enough for one", 41, MSG_NOSIGNAL);
}

static void fault_stranger(int control)
{
	struct gt_notice notice = {.magic = GT_ORDER_MAGIC, .kind = GT_NOTICE_LOST, .job = 1 << 30};
	(void)!send(control, &notice, sizeof notice, MSG_NOSIGNAL);
}

static void *wait_for_ever(void *nothing)
{
	while (!nothing)
		pause();
	return NULL;
}

static void fault_thread(int control)
{
	(void)control;
	pthread_t thread;
	pthread_create(&thread, NULL, wait_for_ever, NULL);
}

static void fault_descriptor(int control)
{
	(void)control;
	(void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void fault_memory(int control)
{
	(void)control;
	static char *kept; // reachable: gathered, not lost
	char *more = malloc(GATHERED);
	if (!more)
		abort();
	memset(more, 1, GATHERED);
	*(char **)(void *)more = kept;
	kept = more;
}

static void fault_child(int control)
{
	(void)control;
	siginfo_t ended;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	// Its end is there to be seen before the next order is.
	while (pid > 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR)
		continue;
}

static void fault_limit(int procs)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	dup3(full, procs, O_CLOEXEC);
	close(full);
}

void gt_host_fault(enum gt_host_moment moment, int fd)
{
	static const struct {
		const char *word;
		enum gt_host_moment moment;
		void (*commit)(int fd);
	} faults[] = {
		{"start", GT_MOMENT_HELLO, fault_start},
		{"mute", GT_MOMENT_HELLO, fault_hang},
		{"fork", GT_MOMENT_FORKED, fault_fork},
		{"idle", GT_MOMENT_ENDED, fault_idle},
		{"hang", GT_MOMENT_ORDER, fault_hang},
		{"garbage", GT_MOMENT_FORKED, fault_garbage},
		{"stranger", GT_MOMENT_FORKED, fault_stranger},
		{"thread", GT_MOMENT_FORKED, fault_thread},
		{"descriptor", GT_MOMENT_FORKED, fault_descriptor},
		{"memory", GT_MOMENT_FORKED, fault_memory},
		{"child", GT_MOMENT_FORKED, fault_child},
		{"limit", GT_MOMENT_LIMIT, fault_limit},
	};
	const char *order = getenv(GT_HOST_FAULT_VARIABLE);
	for (size_t i = 0; order && i < GT_COUNTOF(faults); i++)
		if (faults[i].moment == moment && strcmp(faults[i].word, order) == 0)
			faults[i].commit(fd);
}
