// The way of one test, in reading order: cli/cmd_run.c -> suite/suite.c -> suite/select.c ->
// run/runner.c -> run/test.c -> run/attempt.c -> run/job.c -> worker/host.c -> worker/supervisor.c ->
// stage/serve.c -> one stage/*.c -> engine/*.c, and back as events: run/stage_end.c ->
// run/journal.c -> core/result.c -> report/*.c.
#include "cli/cli.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

// A standard stream that is closed would be the first file that we open: what is printed would go
// there. What takes its place can be read (nothing) and not written, as if it were closed still.
static void hold_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0 && open("/", O_RDONLY) < 0)
			_exit(GT_EXIT_INTERNAL);
}

// Whoever started us may have blocked signals for threads of their own: without SIGCHLD no process
// would ever be seen to end, and nothing would interrupt us. What is ignored stays so (nohup), but for
// SIGCHLD, without which the system keeps no exit status of a child.
static void hear_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

// One that came while a host was being asked has waited until all was cleaned up (run/ask.h).
static void end_by_kept_signal(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int main(int argc, char **argv)
{
	hold_streams();
	hear_signals();
	int exit_code = gt_cli_main(argc, argv);
	bool written = fflush(stdout) == 0 && !ferror(stdout);
	end_by_kept_signal();
	if (written)
		return exit_code;
	// A list that could not be written is no success; a reader that has seen enough is no failure.
	struct pollfd reader = {.fd = STDOUT_FILENO};
	if (poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR))
		return exit_code;
	fputs("gauntlet: cannot write to standard output\n", stderr);
	return exit_code ? exit_code : GT_EXIT_INTERNAL;
}
