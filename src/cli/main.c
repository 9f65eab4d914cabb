// The way of one test, in reading order: cli/cmd_run.c -> suite/suite.c -> suite/select.c ->
// run/runner.c -> run/test.c -> run/job.c -> worker/host.c -> worker/supervisor.c ->
// stage/serve.c -> one stage/*.c -> engine/*.c, and back as events: run/journal.c ->
// core/result.c -> report/*.c.
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return gt_cli_main(argc, argv);
}
