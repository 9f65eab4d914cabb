// list: the tests that run would select, one a line.
#include "cli/cli.h"
#include "cli/selection.h"

#include "base/utf8.h"
#include "core/stages.h"

#include <stdio.h>

static const struct gt_arg_row rows[] = {
	GT_SELECTION_ROWS,
	{0, NULL, GT_ARG_HEADING, NULL, "output"},
	{'v', "verbose", GT_ARG_FLAG, NULL, "also suite and model of each test"},
	{'h', "help", GT_ARG_FLAG, NULL, "print this help"},
};

static const struct gt_arg_command command = {
	.name = "gauntlet list",
	.summary = "Lists the tests that 'gauntlet run' with the same arguments would select, one a "
	           "line.",
	.positional = {"TEST", "name of a test", 0, SIZE_MAX},
	.rows = rows,
	.count = GT_COUNTOF(rows),
};

static void print_cases(const struct gt_cases *cases, bool verbose)
{
	struct gt_buf line = {0};
	for (size_t i = 0; i < cases->count; i++) {
		const struct gt_case *c = &cases->items[i];
		line.length = 0;
		gt_utf8_line(&line, c->id);
		if (verbose) {
			gt_buf_puts(&line, "\t");
			gt_utf8_line(&line, c->suite);
			gt_buf_puts(&line, "\t");
			gt_utf8_line(&line, c->model);
		}
		puts(gt_buf_text(&line));
	}
	gt_buf_free(&line);
}

int gt_cmd_list(int argc, char **argv)
{
	struct gt_args args;
	bool done;
	int exit_code = GT_EXIT_OK;
	gt_cli_parse(&command, argc, argv, &args, &done, &exit_code);
	if (!done) {
		struct gt_toolchain tools;
		struct gt_selected selected = {0};
		struct gt_err err = {0};
		gt_toolchain_find(&tools);
		gt_code rc = gt_cli_check_variables(&err);
		if (!rc)
			rc = gt_selection_make(&args, &tools, gt_stage(GT_SETUP)->timeout_s, &selected, &err);
		if (!rc)
			print_cases(&selected.cases, gt_arg_given(&args, "verbose"));
		else
			exit_code = rc == GT_NOT_FOUND ? (gt_cli_fail(&err), GT_EXIT_NO_TESTS)
			                               : gt_cli_fail(&err);
		gt_selection_free(&selected);
		gt_toolchain_free(&tools);
	}
	gt_arg_free(&args);
	return exit_code;
}
