// cli/selection.h - from flags to cases: what `run` and `list` have in common.
#ifndef GT_CLI_SELECTION_H
#define GT_CLI_SELECTION_H

#include "cli/arguments.h"
#include "core/case.h"
#include "engine/toolchain.h"

// Rows of the flags that select, for the tables of both commands.
#define GT_SELECTION_ROWS \
	{0, NULL, GT_ARG_HEADING, NULL, "which tests"}, \
	{0, "suite", GT_ARG_VALUE, "NAME|PATH", \
	 "a suite: onnx-node, onnx-simple, onnx-pytorch-converted, onnx-pytorch-operator, " \
	 "onnx-light, default, a folder of ONNX tests, an .onnx file, or a Python file of test " \
	 "classes. May be repeated. Without it: the default suite, or all built-in suites if a " \
	 "TEST, -t or --testsfile is given"}, \
	{'t', "test-filter", GT_ARG_VALUE, "REGEX", \
	 "only tests whose name matches from its start (Python's re.match)"}, \
	{0, "testsfile", GT_ARG_VALUE, "FILE", \
	 "only tests named in this file, separated by blanks or newlines; '#' starts a comment"}

struct gt_selected {
	struct gt_cases cases;
	char *expectations; // path of the shipped expectations that fit, NULL if none do
};

// Load the suites and select. A Python file is run to see what it registers, for at most
// `limit_s` seconds. GT_NOT_FOUND if nothing is left (exit code 4).
GT_MUST_USE gt_code gt_selection_make(const struct gt_args *args, const struct gt_toolchain *tools,
                                      double limit_s, struct gt_selected *out,
                                      struct gt_err *err);
void gt_selection_free(struct gt_selected *s);

// Folder of shipped files (default.expect, onnx-node.expect): GAUNTLET_SHARE or the project's.
const char *gt_share_folder(void);

// Parse the words of a command; on --help print the help. *done: return *exit_code at once.
void gt_cli_parse(const struct gt_arg_command *command, int argc, char **argv,
                  struct gt_args *args, bool *done, int *exit_code);

#endif // GT_CLI_SELECTION_H
