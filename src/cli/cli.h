// cli/cli.h - the commands: one file each, a table of them, exit codes.
#ifndef GT_CLI_CLI_H
#define GT_CLI_CLI_H

#include "base/status.h"
#include "report/outlet.h"

// docs/exit-codes.md. A run that a signal ended exits by that signal (130, 143) after its reports.
enum gt_exit {
	GT_EXIT_OK = 0,         // everything as expected
	GT_EXIT_FAILED = 1,     // a test did not end as expected
	GT_EXIT_USAGE = 2,      // a wrong flag, value, file, or a tool that is missing
	GT_EXIT_INTERNAL = 3,   // our mistake, or a record or report could not be written
	GT_EXIT_NO_TESTS = 4,   // nothing was selected
	GT_EXIT_INCOMPLETE = 6, // a test has no terminal state
};

struct gt_command {
	const char *name, *summary;
	int (*run)(int argc, char **argv); // argv[0] is the command's name; returns an exit code
	bool hidden;
};

int gt_cmd_run(int argc, char **argv);
int gt_cmd_list(int argc, char **argv);
int gt_cmd_stage(int argc, char **argv);
int gt_cmd_report(int argc, char **argv);
int gt_cmd_doctor(int argc, char **argv);
int gt_cmd_host(int argc, char **argv);

// Find the command and run it.
int gt_cli_main(int argc, char **argv);

// Print "gauntlet: <text>" to stderr.
void gt_cli_say(const char *text);

// From now on that goes to `out`, which does not wait; NULL: to stderr itself again.
void gt_cli_say_to(struct gt_outlet *out);

// Do the variables that say what hosts may use mean anything? Else GT_BAD_USAGE.
GT_MUST_USE gt_code gt_cli_check_variables(struct gt_err *err);

// Say err->text and return the exit code that fits err->code.
int gt_cli_fail(const struct gt_err *err);

#endif // GT_CLI_CLI_H
