// run: select tests, take them through their stages, report.
#include "cli/cli.h"
#include "cli/keyboard.h"
#include "cli/reporting.h"
#include "cli/selection.h"
#include "cli/settings.h"
#include "cli/terminal.h"

#include "base/utf8.h"
#include "run/ask.h"
#include "run/runner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLAG_CHECK_LIMIT_S 60
#define MAX_JOBS 512

static const struct gt_arg_row rows[] = {
	GT_SELECTION_ROWS,
	GT_SETTINGS_ROWS,
	{0, NULL, GT_ARG_HEADING, NULL, "how it is run and reported"},
	{'j', "jobs", GT_ARG_VALUE, "N", "tests at once (default: number of processors)"},
	{0, "max-failures", GT_ARG_VALUE, "N",
	 "start nothing more after N tests that did not end as expected"},
	{0, "resume", GT_ARG_FLAG, NULL,
	 "go on with the run that ended early in the run directory: said with the same tests and flags, it "
	 "runs those that have no result yet"},
	{0, "rerun-failed", GT_ARG_FLAG, NULL,
	 "the same, and run those again that did not end as expected"},
	{'r', "rundirectory", GT_ARG_VALUE, "DIR",
	 "run directory, relative to the current folder (default: test-run)"},
	{0, "no-artifacts", GT_ARG_FLAG, NULL,
	 "keep only logs and records of what is made, not models and tensors"},
	{0, "expect", GT_ARG_VALUE, "FILE",
	 "expected statuses (default: the shipped file of the suite, if there is one; 'none': every "
	 "test must pass)"},
	{0, "update-expect", GT_ARG_FLAG, NULL,
	 "write what happened into the file of expected statuses, if the run is complete"},
	GT_REPORTING_ROWS,
	{'v', "verbose", GT_ARG_FLAG, NULL, "show also tests that end as expected"},
	{'h', "help", GT_ARG_FLAG, NULL, "print this help"},
};

static const struct gt_arg_command command = {
	.name = "gauntlet run",
	.summary = "Takes tests through the stages setup, import_model, preprocessing, compilation, "
	           "construct_inputs, native_inference, compiled_inference, postprocessing and "
	           "comparison, and says for each PASS, Numerics or the stage it stopped in. While it "
	           "runs, the key t or the signal SIGUSR1 shows what runs since when.\n"
	           "Exit codes: 0 as expected, 1 a test was not, 2 wrong usage or a missing tool, "
	           "3 internal error or a report could not be written, 4 no tests selected, "
	           "6 incomplete, 130/143 ended by a signal.",
	.positional = {"TEST", "name of a test; all built-in suites are searched without --suite", 0,
	               SIZE_MAX},
	.rows = rows,
	.count = GT_COUNTOF(rows),
};

// Everything a run needs, from flags; owned.
struct run_setup {
	struct gt_toolchain tools;
	struct gt_selected selected;
	bool none_selected;
	struct gt_options options;
	struct gt_expectations expectations;
	const char *expect_path; // NULL: none
	struct gt_run_config config;
	struct gt_rundir rundir;
	struct gt_resume resume; // what there is to go on with
	json_t *argv, *program;
};

// What the user sees of a run, and is not waited for.
struct view {
	struct gt_outlet out, errors;
	struct gt_terminal terminal;
	struct gt_console *console;
};

static void observe(void *user, const struct gt_result *result, const json_t *event)
{
	struct view *v = user;
	if (event) {
		gt_console_event(v->console, result, event);
		return;
	}
	for (char key; (key = gt_keyboard_take());)
		if (key == 't' || key == 'T')
			gt_console_show_running(v->console);
	gt_console_tick(v->console, result);
}

static void show_running(void *user)
{
	struct view *v = user;
	gt_console_show_running(v->console);
}

static void show_stop(void *user, const char *reason, double seconds)
{
	struct view *v = user;
	gt_console_stop(v->console, reason, seconds);
}

// The time until it goes on is nobody's.
static void suspend(void *user, bool stop)
{
	struct view *v = user;
	gt_keyboard_release();
	gt_console_suspend(v->console, stop);
}

// A result that the files do not back.
static void show_finding(void *user, const char *finding)
{
	char *text = gt_format("audit: %s", finding);
	(void)user;
	gt_cli_say(text);
	free(text);
}

static json_t *argv_json(int argc, char **argv)
{
	json_t *list = json_array();
	json_array_append_new(list, json_string("gauntlet"));
	for (int i = 0; i < argc; i++)
		json_array_append_new(list, gt_json_bytes(argv[i]));
	return list;
}

// What the compiler's parser of flags printed, without what makes no sense to a user of ours:
// "gauntlet: " in front, "  Try: 'gauntlet --help'" behind.
static gt_code refuse_flags(const char *text, struct gt_err *err)
{
	static const char own_name[] = "gauntlet: ";
	if (strncmp(text, own_name, sizeof own_name - 1) == 0)
		text += sizeof own_name - 1;
	size_t n = strcspn(text, "\n");
	const char *advice = strstr(text, "  Try: ");
	if (advice && (size_t)(advice - text) < n)
		n = (size_t)(advice - text);
	while (n && (text[n - 1] == '.' || text[n - 1] == ' '))
		n--;
	return gt_fail(err, GT_BAD_USAGE, "flag '--iree-compile-args': the compiler says: %.*s",
	               (int)n, text);
}

// A flag that the compiler does not know ends its process: try them once, before the run.
static gt_code check_compile_flags(const struct run_setup *d, struct gt_err *err)
{
	if (!d->config.plan.stages[GT_COMPILATION] || d->options.compile_args.count == 0)
		return GT_OK;
	struct gt_buf output = {0};
	json_t *detail = NULL;
	json_t *request = json_pack("{s:s,s:o}", "action", "check_flags", "options",
	                            gt_options_to_json(&d->options));
	gt_code rc = gt_ask(GT_HOST_COMPILER, &d->tools, request, FLAG_CHECK_LIMIT_S, &detail, NULL,
	                    &output, err);
	if (rc && output.length > 0)
		rc = refuse_flags(gt_buf_text(&output), err);
	json_decref(detail);
	json_decref(request);
	gt_buf_free(&output);
	return rc;
}

// What a flag names cannot be used: that is wrong usage, whatever the reason.
static gt_code wrong_value(const char *flag, struct gt_err *err)
{
	gt_err_context(err, "flag '--%s'", flag);
	return err->code = GT_BAD_USAGE;
}

static gt_code load_expectations(struct run_setup *d, const struct gt_args *args,
                                 struct gt_err *err)
{
	d->expect_path = gt_arg_text(args, "expect", d->selected.expectations);
	bool none = d->expect_path && strcmp(d->expect_path, "none") == 0;
	if (none)
		d->expect_path = NULL;
	if (none && gt_arg_given(args, "update-expect"))
		return gt_fail(err, GT_BAD_USAGE,
		               "flag '--update-expect': --expect none switches the file of expected statuses "
		               "off; leave that away, or name one with --expect FILE");
	if (gt_arg_given(args, "update-expect") && !d->expect_path)
		return gt_fail(err, GT_BAD_USAGE,
		               "flag '--update-expect': no file of expected statuses is shipped for "
		               "these tests; name one with --expect FILE");
	if (!d->expect_path)
		return GT_OK;
	gt_code rc = GT_OK;
	if (gt_arg_given(args, "update-expect")) {
		rc = gt_reporting_check_file("expect", d->expect_path, err);
		if (rc || access(d->expect_path, F_OK) != 0)
			return rc; // a file that is to be written may be new
	}
	d->config.expectations = &d->expectations;
	rc = gt_expect_load(d->expect_path, &d->expectations, err);
	return rc ? wrong_value("expect", err) : GT_OK;
}

static gt_code fail_nothing_failed(const char *rundir, struct gt_err *err)
{
	return gt_fail(err, GT_BAD_USAGE,
	               "flag '--rerun-failed': in '%s' no run has begun whose failures could be run again; "
	               "name its run directory with -r", rundir);
}

static gt_code open_rundir(struct run_setup *d, const struct gt_args *args, struct gt_err *err)
{
	const char *path = gt_arg_text(args, "rundirectory", "test-run");
	if (!*path)
		return gt_fail(err, GT_BAD_USAGE, "flag '--rundirectory' needs the name of a folder");
	// Where nothing can be gone on with, nothing is left behind either.
	char *journal = gt_path_join(path, "events.jsonl");
	gt_code rc = GT_OK;
	if (gt_arg_given(args, "rerun-failed") && access(journal, F_OK) != 0)
		rc = fail_nothing_failed(path, err);
	free(journal);
	if (rc)
		return rc;
	rc = gt_rundir_open(path, &d->rundir, err);
	return rc ? wrong_value("rundirectory", err) : GT_OK;
}

static void note(const char *text, const char *path)
{
	struct gt_buf line = {0};
	gt_utf8_line(&line, path);
	fprintf(stderr, "gauntlet: note: '%s' %s\n", gt_buf_text(&line), text);
	gt_buf_free(&line);
}

// --resume, --rerun-failed: what there is of the run that is to go on.
static gt_code load_earlier(struct run_setup *d, const struct gt_args *args, struct gt_err *err)
{
	bool failed = gt_arg_given(args, "rerun-failed");
	if (!failed && !gt_arg_given(args, "resume"))
		return GT_OK;
	gt_code rc = gt_resume_load(d->rundir.path, &d->resume, err);
	if (rc)
		gt_err_context(err, "the run cannot go on");
	else if (d->resume.begun)
		d->config.resumes = &d->resume.end;
	else if (failed)
		rc = fail_nothing_failed(d->rundir.path, err);
	else
		note("holds no run that has begun: begins from the start", d->rundir.path);
	d->config.rerun_failed = failed;
	return rc;
}

static gt_code find_room(struct run_setup *d, int jobs, struct gt_err *err)
{
	d->config.jobs = gt_run_room(jobs);
	if (d->config.jobs == 0)
		return gt_fail(err, GT_BAD_USAGE,
		               "the limit of open files (ulimit -n) is too low: a run needs at least %d",
		               GT_RUN_DESCRIPTORS);
	if (d->config.jobs < jobs)
		fprintf(stderr,
		        "gauntlet: %d test%s at once, not %d: the limit of open files (ulimit -n) is too low\n",
		        d->config.jobs, d->config.jobs == 1 ? "" : "s", jobs);
	return GT_OK;
}

static gt_code prepare(struct run_setup *d, const struct gt_args *args, struct gt_err *err)
{
	int64_t jobs = sysconf(_SC_NPROCESSORS_ONLN);
	gt_toolchain_find(&d->tools);
	gt_code rc = gt_cli_check_variables(err);
	if (!rc)
		rc = gt_settings_make(args, &d->options, &d->config.plan, err);
	if (!rc && gt_arg_given(args, "jobs"))
		rc = gt_arg_integer("jobs", gt_arg_text(args, "jobs", "1"), 1, MAX_JOBS, &jobs, err);
	if (!rc)
		rc = gt_reporting_check(args, err);
	int64_t most = 0;
	if (!rc && gt_arg_given(args, "max-failures"))
		rc = gt_arg_integer("max-failures", gt_arg_text(args, "max-failures", "1"), 1, INT32_MAX,
		                    &most, err);
	d->config.max_failures = (size_t)most;
	if (!rc)
		rc = find_room(d, (int)(jobs < 1 ? 1 : jobs), err);
	if (!rc)
		rc = gt_toolchain_check(&d->tools, err);
	if (!rc) {
		rc = gt_selection_make(args, &d->tools, d->config.plan.limits_s[GT_SETUP], &d->selected,
		                       err);
		d->none_selected = rc == GT_NOT_FOUND;
	}
	if (!rc)
		rc = load_expectations(d, args, err);
	if (!rc)
		rc = check_compile_flags(d, err);
	if (!rc)
		rc = open_rundir(d, args, err);
	if (!rc)
		rc = load_earlier(d, args, err);
	d->config.cases = &d->selected.cases;
	d->config.tools = &d->tools;
	d->config.argv = d->argv;
	d->config.program = d->program;
	d->config.keep_artifacts = !gt_arg_given(args, "no-artifacts");
	return rc;
}

static void clean_up(struct run_setup *d)
{
	gt_rundir_close(&d->rundir);
	gt_resume_free(&d->resume);
	gt_expect_free(&d->expectations);
	gt_selection_free(&d->selected);
	gt_options_free(&d->options);
	gt_toolchain_free(&d->tools);
	json_decref(d->argv);
	json_decref(d->program);
}

static void do_nothing(int number)
{
	(void)number;
}

// SIGUSR1 asks what runs; before and after the tests that is nothing, and must not end the program.
static void hear_nothing(void)
{
	struct sigaction quiet = {.sa_handler = do_nothing, .sa_flags = SA_RESTART}, now;
	if (sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		sigaction(SIGUSR1, &quiet, NULL);
}

static void open_view(struct view *v, const struct run_setup *d, const struct gt_args *args)
{
	v->terminal = gt_terminal_of(1, gt_arg_text(args, "color", "auto"));
	gt_outlet_open(&v->out, STDOUT_FILENO);
	gt_outlet_open(&v->errors, STDERR_FILENO);
	gt_cli_say_to(&v->errors);
	struct gt_console_options shown = {
		.out = &v->out, .terminal = v->terminal.interactive, .color = v->terminal.color,
		.width = v->terminal.width, .verbose = gt_arg_given(args, "verbose"),
		.limits_s = d->config.plan.limits_s,
	};
	v->console = gt_console_new(&shown, d->selected.cases.count);
	gt_keyboard_open();
}

// Now the reader may be waited for: nothing is left to be done, and a signal ends this as any program.
static int close_view(struct view *v, int exit_code)
{
	if (gt_outlet_waits(&v->out) || gt_outlet_waits(&v->errors))
		gt_run_release_signals();
	exit_code = gt_reporting_drain(&v->out, exit_code);
	gt_outlet_drain(&v->errors);
	gt_cli_say_to(NULL);
	gt_outlet_close(&v->out);
	gt_outlet_close(&v->errors);
	return exit_code;
}

static int update_expectations(const struct run_setup *d, bool complete, int exit_code)
{
	struct gt_err err = {0};
	if (!complete) { // half a run would unlearn what the other half has to say
		char *text = gt_format("flag '--update-expect': '%s' stays as it is, as the run is incomplete",
		                       d->expect_path);
		gt_cli_say(text);
		free(text);
		return exit_code;
	}
	if (gt_expect_update(d->expect_path, &d->resume.result, &err))
		return gt_cli_fail(&err);
	return exit_code == GT_EXIT_FAILED ? GT_EXIT_OK : exit_code; // what happened is now expected
}

// The line to repeat, in a line of its own: it is to be copied, and is never cut.
static void show_command(const struct run_setup *d)
{
	const char *flag = d->config.rerun_failed ? "--rerun-failed" : "--resume";
	char *begun = gt_resume_command(&d->resume.result, flag);
	char *line = gt_format("what the run was begun with, and %s: %s", flag, begun);
	gt_cli_say(line);
	free(line);
	free(begun);
}

// Write what is to be kept of the run. Returns the exit code; the run directory is closed then.
static int report(struct run_setup *d, const struct gt_args *args, gt_code rc, struct view *v,
                  struct gt_err *err)
{
	const struct gt_result *result = &d->resume.result;
	int exit_code = rc ? gt_cli_fail(err) : GT_EXIT_OK;
	bool refused = rc == GT_BAD_USAGE; // another run's result: its reports stay as they are
	bool has_results, reported = result->run && !refused;
	if (refused && result->run)
		show_command(d);
	gt_rundir_remove_tmp(&d->rundir); // what a job has filled the disk with leaves room for reports
	if (reported) { // also after a failure: what was recorded is worth its report
		int code = gt_reporting_write(args, result, d->rundir.path, &has_results);
		exit_code = exit_code ? exit_code : code;
	}
	if (gt_arg_given(args, "update-expect") && !refused)
		exit_code = update_expectations(d, !rc && result->complete, exit_code);
	if (reported)
		gt_reporting_summarise(result, d->rundir.path, has_results, &v->terminal, &v->out);
	gt_rundir_close(&d->rundir);
	return exit_code;
}

// Run, show, report. Returns the exit code.
static int run_and_report(struct run_setup *d, const struct gt_args *args,
                          struct gt_err *err)
{
	struct view view;
	struct gt_result *result = &d->resume.result;
	if (!d->config.resumes) // of a run that named its tests and began none
		gt_result_free(result);
	int signal_number = 0;
	d->config.observe = observe;
	d->config.show_running = show_running;
	d->config.show_stop = show_stop;
	d->config.show_finding = show_finding;
	d->config.suspend = suspend;
	d->config.user = &view;
	open_view(&view, d, args);
	gt_code rc = gt_run(&d->config, &d->rundir, result, &signal_number, err);
	hear_nothing();
	gt_keyboard_close();
	gt_console_delete(view.console);
	int exit_code = report(d, args, rc, &view, err);
	exit_code = close_view(&view, exit_code);
	gt_run_release_signals();
	if (signal_number) {
		signal(signal_number, SIG_DFL);
		raise(signal_number);
	}
	return exit_code;
}

int gt_cmd_run(int argc, char **argv)
{
	struct gt_args args;
	bool done;
	int exit_code = GT_EXIT_OK;
	hear_nothing();
	gt_cli_parse(&command, argc, argv, &args, &done, &exit_code);
	if (!done) {
		struct gt_err err = {0};
		struct run_setup d = {.argv = argv_json(argc, argv),
		                      .program = gt_toolchain_self("gauntlet", GT_VERSION), .rundir = {.lock = -1}};
		gt_code rc = prepare(&d, &args, &err);
		if (rc) {
			exit_code = gt_cli_fail(&err);
			if (d.none_selected)
				exit_code = GT_EXIT_NO_TESTS;
		} else {
			exit_code = run_and_report(&d, &args, &err);
		}
		clean_up(&d);
	}
	gt_arg_free(&args);
	return exit_code;
}
