// stage: one stage of one test again, in this very process where it can be: for a debugger.
#include "cli/cli.h"
#include "cli/foreground.h"
#include "cli/selection.h"

#include "base/utf8.h"
#include "run/record.h"
#include "run/rundir.h"
#include "run/stagelog.h"
#include "stage/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct gt_arg_row rows[] = {
	{0, "trust", GT_ARG_FLAG, NULL,
	 "take the files that the stage reads as they are, also if they were changed by hand or made "
	 "with other options: their records get the hashes they have now"},
	{'h', "help", GT_ARG_FLAG, NULL, "print this help"},
};

static const struct gt_arg_command command = {
	.name = "gauntlet stage",
	.summary = "Does one stage of one test again in the foreground, with the options that the "
	           "test's folder records (test.json), without limits and without a host: run it "
	           "under a debugger. Files of the stage are replaced and stages.json is updated. "
	           "Files that it reads must be those that are recorded there. Exit code 1 if it fails; one "
	           "that crashes ends this process by the same signal.",
	.positional = {"NAME FOLDER", "stage, and folder of the test in a run directory", 2, 2},
	.rows = rows,
	.count = GT_COUNTOF(rows),
};

// One test, as its folder says. Owns everything but `folder`.
struct work {
	const char *folder;
	enum gt_stage_id stage;
	struct gt_case test;
	struct gt_options options;
	struct gt_plan plan;
	json_t *test_json;
	json_t *records;
	json_t *inputs;
};

static gt_code read_test(struct work *w, struct gt_err *err)
{
	gt_code rc = gt_record_read_test(w->folder, &w->test_json, err);
	if (!rc)
		rc = gt_case_from_json(json_object_get(w->test_json, "test"), &w->test, err);
	if (!rc)
		rc = gt_options_from_json(json_object_get(w->test_json, "options"), &w->options, err);
	return rc ? gt_err_context(err, "'%s' is not the folder of a test in a run directory", w->folder)
	          : GT_OK;
}

static gt_code read_folder(struct work *w, struct gt_err *err)
{
	gt_code rc = read_test(w, err);
	if (!rc)
		rc = gt_record_read(w->folder, &w->records, err);
	if (!rc && !w->records)
		w->records = gt_record_new();
	const char *id = gt_json_string_or(w->records, "test", w->test.id);
	if (!rc && strcmp(id, w->test.id) != 0)
		rc = gt_fail(err, GT_BAD_DATA,
		             "'%s': test.json is of test '%s', but stages.json of '%s'; run the test again",
		             w->folder, w->test.id, id);
	w->plan.options = &w->options;
	w->plan.stages[w->stage] = true;
	return rc;
}

static void free_work(struct work *w)
{
	json_decref(w->inputs);
	json_decref(w->records);
	json_decref(w->test_json);
	gt_options_free(&w->options);
	gt_case_free(&w->test);
}

// The first file that the stage reads and that is not there, with the stage that writes it ("": none).
static const char *find_missing(const struct work *w, const char **writer)
{
	size_t i;
	json_t *input;
	json_array_foreach(w->inputs, i, input) {
		const char *name = gt_json_string_or(input, "name", "");
		char *path = *name == '/' ? gt_strdup(name) : gt_path_join(w->folder, name);
		bool there = gt_is_file(path);
		free(path);
		*writer = gt_json_string_or(input, "stage", "");
		if (!there)
			return name;
	}
	return NULL;
}

// May the stage go by the files that are there?
static gt_code check_inputs(struct work *w, bool trust, struct gt_err *err)
{
	json_t *stages = json_object_get(w->records, "stages");
	if (gt_plan_loads(&w->plan, w->stage))
		gt_record_begin_loading(stages, gt_stage(w->stage)->name);
	w->inputs = gt_plan_inputs(&w->plan, &w->test, w->stage, stages);
	if (trust)
		return gt_record_trust(w->folder, w->inputs, stages, err);
	json_t *needs = NULL;
	gt_code rc = gt_plan_check(&w->plan, &w->test, w->stage, stages, &needs, err);
	if (!rc)
		rc = gt_stage_check_records(w->folder, needs, err);
	json_decref(needs);
	if (!rc)
		return GT_OK;
	const char *writer = "", *missing = find_missing(w, &writer);
	struct gt_err why = *err;
	if (!missing)
		return gt_fail(err, GT_BAD_USAGE, "%s; --trust takes the files as they are", why.text);
	if (*writer)
		return gt_fail(err, GT_BAD_USAGE, "there is no '%s' in '%s': do stage %s first", missing,
		               w->folder, writer);
	return gt_fail(err, GT_BAD_USAGE, "%s", why.text);
}

static gt_code do_stage(const struct work *w, struct gt_foreground *done, struct gt_err *err)
{
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	json_t *request = json_pack("{s:s,s:s,s:o,s:O,s:O}", "action", "stage", "stage",
	                            gt_stage(w->stage)->name, "folder", gt_json_text(w->folder), "test",
	                            json_object_get(w->test_json, "test"), "options",
	                            json_object_get(w->test_json, "options"));
	struct gt_placement place = gt_plan_place(&w->plan, &w->test, w->stage);
	gt_code rc = gt_foreground_run(&tools, place, request, done, err);
	const json_t *detail = json_object_get(done->ending.reply, "detail");
	// The test class may leave the stage to the built-in code.
	if (!rc && done->ending.ok && place.instance && gt_json_bool_or(detail, "builtin", false)) {
		gt_foreground_free(done);
		place = (struct gt_placement){.host = GT_HOST_PLAIN};
		rc = gt_foreground_run(&tools, place, request, done, err);
	}
	json_decref(request);
	gt_toolchain_free(&tools);
	return rc;
}

// The same record and log as a run leaves.
static gt_code record(struct work *w, const struct gt_foreground *done, struct gt_err *err)
{
	json_t *stages = json_object_get(w->records, "stages");
	json_t *facts = json_object();
	gt_record_facts(facts, 1, &done->ending);
	json_t *basis = gt_plan_basis(&w->plan, &w->test, w->stage, stages);
	json_t *now = gt_record_make(facts, json_incref(w->inputs), basis, done->tool);
	if (gt_plan_loads(&w->plan, w->stage))
		gt_record_end_loading(stages, gt_stage(w->stage)->name, now);
	gt_json_set(stages, gt_stage(w->stage)->name, now);
	gt_json_set(w->records, "test", gt_json_text(w->test.id));
	json_decref(facts);
	gt_code rc = gt_record_write(w->folder, w->records, err);
	if (!rc)
		rc = gt_stagelog_write(w->folder, w->test.id, w->stage, &done->ending, "", err);
	return rc;
}

static int show(const char *stage, const struct gt_ending *e)
{
	struct gt_buf line = {0};
	gt_buf_printf(&line, "%s: ", stage);
	gt_utf8_line(&line, e->ok ? "ok" : e->message);
	const json_t *detail = json_object_get(e->reply, "detail");
	bool match = gt_json_bool_or(detail, "match", true);
	if (e->ok && !match) {
		gt_buf_puts(&line, ", but ");
		gt_utf8_line(&line, gt_json_string_or(detail, "message", ""));
	}
	size_t i;
	json_t *file;
	json_array_foreach(json_object_get(e->reply, "files"), i, file) {
		gt_buf_puts(&line, i ? ", " : "; wrote ");
		gt_utf8_line(&line, gt_json_string_or(file, "name", "?"));
	}
	puts(gt_buf_text(&line));
	gt_buf_free(&line);
	return e->ok && match ? GT_EXIT_OK : GT_EXIT_FAILED;
}

static gt_code fail_unknown(const char *stage, struct gt_err *err)
{
	struct gt_buf names = {0};
	for (enum gt_stage_id id = 0; id < GT_STAGE_COUNT; id++)
		gt_buf_printf(&names, "%s%s", id ? ", " : "", gt_stage(id)->name);
	gt_code rc = gt_fail(err, GT_BAD_USAGE, "there is no stage '%s'; the stages are %s", stage,
	                     gt_buf_text(&names));
	gt_buf_free(&names);
	return rc;
}

static gt_code run_stage(const char *stage, const char *folder, bool trust, int *exit_code,
                         struct gt_err *err)
{
	struct work w = {.folder = folder, .stage = gt_stage_parse(stage)};
	struct gt_foreground done = {0};
	int lock = -1;
	if (w.stage == GT_STAGE_COUNT)
		return fail_unknown(stage, err);
	if (!gt_is_folder(folder))
		return gt_fail(err, GT_BAD_USAGE, "'%s' is not the folder of a test in a run directory: there is "
		               "no such folder", folder);
	gt_code rc = gt_rundir_share(folder, &lock, err);
	if (!rc)
		rc = read_folder(&w, err);
	if (!rc)
		rc = check_inputs(&w, trust, err);
	if (!rc)
		rc = do_stage(&w, &done, err);
	if (!rc)
		rc = record(&w, &done, err);
	if (!rc)
		*exit_code = show(stage, &done.ending);
	gt_foreground_free(&done);
	free_work(&w);
	if (lock >= 0)
		close(lock);
	return rc;
}

int gt_cmd_stage(int argc, char **argv)
{
	struct gt_args args;
	bool done;
	int exit_code = GT_EXIT_OK;
	gt_cli_parse(&command, argc, argv, &args, &done, &exit_code);
	if (!done) {
		struct gt_err err = {0};
		char *folder = gt_path_absolute(args.positionals.items[1]);
		if (run_stage(args.positionals.items[0], folder, gt_arg_given(&args, "trust"), &exit_code,
		              &err))
			exit_code = gt_cli_fail(&err);
		free(folder);
	}
	gt_arg_free(&args);
	return exit_code;
}
