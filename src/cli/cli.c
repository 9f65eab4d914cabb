#include "cli/cli.h"

#include "base/utf8.h"
#include "worker/isolation.h"
#include "worker/memory.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct gt_command commands[] = {
	{"run", "take tests through their stages and report", gt_cmd_run, false},
	{"list", "list the tests that run would select", gt_cmd_list, false},
	{"stage", "do one stage of one test again, in the foreground", gt_cmd_stage, false},
	{"report", "write the reports of a run again from its journal", gt_cmd_report, false},
	{"doctor", "say what was found of the tools, and what is missing", gt_cmd_doctor, false},
	{"host", "serve jobs of one engine (started by run)", gt_cmd_host, true},
};

static struct gt_outlet *said_to;

void gt_cli_say_to(struct gt_outlet *out)
{
	said_to = out;
}

void gt_cli_say(const char *text)
{
	struct gt_buf line = {0};
	gt_buf_puts(&line, "gauntlet: ");
	gt_utf8_line(&line, text);
	gt_buf_puts(&line, "\n");
	if (said_to)
		gt_outlet_put(said_to, gt_buf_text(&line), line.length);
	else
		fputs(gt_buf_text(&line), stderr);
	gt_buf_free(&line);
}

gt_code gt_cli_check_variables(struct gt_err *err)
{
	gt_code rc = gt_isolation_check(err);
	return rc ? rc : gt_memory_check(err);
}

int gt_cli_fail(const struct gt_err *err)
{
	gt_cli_say(err->text);
	switch (err->code) {
	case GT_IO:
	case GT_DISK:
	case GT_NO_MEMORY:
	case GT_INTERNAL:
		return GT_EXIT_INTERNAL;
	default:
		return GT_EXIT_USAGE;
	}
}

static void print_help(FILE *to)
{
	fputs("usage: gauntlet COMMAND [ARGUMENT...]\n\n"
	      "Takes machine-learning models through every stage from their framework to a\n"
	      "compiled program, and says for each PASS, Numerics or the stage it stopped in.\n\n"
	      "commands:\n", to);
	for (size_t i = 0; i < GT_COUNTOF(commands); i++)
		if (!commands[i].hidden)
			fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\n'gauntlet COMMAND --help' says more. Exit codes: 0 as expected, 1 a test was not,\n"
	      "2 wrong usage or a missing tool, 3 internal error or a report could not be\n"
	      "written, 4 no tests selected, 6 incomplete, 130/143 ended by a signal.\n", to);
}

int gt_cli_main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_help(stderr);
		return GT_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return GT_EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("gauntlet " GT_VERSION);
		return GT_EXIT_OK;
	}
	for (size_t i = 0; i < GT_COUNTOF(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	struct gt_err err;
	gt_fail(&err, GT_BAD_USAGE, "there is no command '%s'; see gauntlet --help", argv[1]);
	return gt_cli_fail(&err);
}
