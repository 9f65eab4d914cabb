// report: the reports of a run again, from its journal.
#include "cli/cli.h"
#include "cli/reporting.h"
#include "cli/selection.h"

#include "run/rundir.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct gt_arg_row rows[] = {
	GT_REPORTING_ROWS,
	{'h', "help", GT_ARG_FLAG, NULL, "print this help"},
};

static const struct gt_arg_command command = {
	.name = "gauntlet report",
	.summary = "Writes results.json and the other reports of a run again from its journal, "
	           "events.jsonl, prints the summary, and exits with 0, 1 or 6 by what it says.",
	.positional = {"FOLDER", "run directory", 1, 1},
	.rows = rows,
	.count = GT_COUNTOF(rows),
};

static void close_lock(int *lock)
{
	if (*lock >= 0)
		close(*lock);
	*lock = -1;
}

// While the run goes on its results are not final: they are shown, and results.json is left to it.
static int report(const struct gt_args *args, const struct gt_result *result, const char *folder,
                  bool goes_on, const struct gt_terminal *terminal, int *lock)
{
	if (goes_on)
		fprintf(stderr, "gauntlet: note: the run goes on: results.json is not written yet\n");
	bool has_results;
	int exit_code = gt_reporting_write(args, result, goes_on ? NULL : folder, &has_results);
	close_lock(lock); // a reader of the summary may take his time
	struct gt_outlet out;
	gt_outlet_open(&out, STDOUT_FILENO);
	gt_reporting_summarise(result, folder, has_results, terminal, &out);
	exit_code = gt_reporting_drain(&out, exit_code);
	gt_outlet_close(&out);
	return exit_code;
}

// The lock is looked at before the journal: what is read while no run goes on is all there is to it, and
// stays so until the report is written.
static int load_and_report(const struct gt_args *args)
{
	struct gt_result result = {0};
	struct gt_err err = {0};
	struct gt_terminal terminal = gt_terminal_of(1, gt_arg_text(args, "color", "auto"));
	char *folder = gt_path_absolute(args->positionals.items[0]);
	int lock = -1;
	bool held = false;
	gt_code rc = gt_reporting_check(args, &err);
	if (!rc)
		gt_rundir_visit(folder, &lock, &held);
	if (!rc && gt_result_load(folder, &result, &err))
		rc = gt_err_context(&err, "'%s' is no run directory", args->positionals.items[0]);
	int exit_code = rc ? gt_cli_fail(&err)
	                   : report(args, &result, folder, held, &terminal, &lock);
	close_lock(&lock);
	gt_result_free(&result);
	free(folder);
	return exit_code;
}

int gt_cmd_report(int argc, char **argv)
{
	struct gt_args args;
	bool done;
	int exit_code = GT_EXIT_OK;
	gt_cli_parse(&command, argc, argv, &args, &done, &exit_code);
	if (!done)
		exit_code = load_and_report(&args);
	gt_arg_free(&args);
	return exit_code;
}
