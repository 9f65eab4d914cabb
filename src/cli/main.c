// The way of one test, in reading order: cli/cmd_run.c -> suite/suite.c -> suite/select.c ->
// run/runner.c -> run/test.c -> run/job.c -> worker/host.c -> worker/supervisor.c ->
// stage/serve.c -> one stage/*.c -> engine/*.c, and back as events: run/journal.c ->
// core/result.c -> report/*.c.
#include "cli/cli.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int exit_code = gt_cli_main(argc, argv);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return exit_code;
	// A list that could not be written is no success; a reader that has seen enough is no failure.
	struct pollfd reader = {.fd = STDOUT_FILENO};
	if (poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR))
		return exit_code;
	fputs("gauntlet: cannot write to standard output\n", stderr);
	return exit_code ? exit_code : GT_EXIT_INTERNAL;
}
