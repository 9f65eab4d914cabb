// stage: one stage of one test again, in this very process where it can be: for a debugger.
#include "cli/cli.h"
#include "cli/selection.h"

#include "base/utf8.h"
#include "run/plan.h"
#include "stage/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct gt_arg_row rows[] = {
	{'h', "help", GT_ARG_FLAG, NULL, "print this help"},
};

static const struct gt_arg_command command = {
	.name = "gauntlet stage",
	.summary = "Does one stage of one test again in the foreground, with the options that the "
	           "test's folder records (test.json), without limits and without a host: run it "
	           "under a debugger. Files of the stage are replaced and stages.json is updated.",
	.positional = {"NAME FOLDER", "stage, and folder of the test in a run directory", 2, 2},
	.rows = rows,
	.count = GT_COUNTOF(rows),
};

static const struct gt_engine *engine_of(enum gt_host_kind kind)
{
	return kind == GT_HOST_COMPILER    ? &gt_iree_compiler
	       : kind == GT_HOST_REFERENCE ? &gt_onnxruntime
	       : kind == GT_HOST_RUNTIME   ? &gt_iree_runtime
	                                   : NULL;
}

// Python stages are Python's to do, their record too. *exit_code is that of the interpreter.
static gt_code call_frontend(const struct gt_toolchain *tools, const char *stage,
                             const char *folder, int *exit_code, struct gt_err *err)
{
	if (!tools->python || !tools->frontend_folder || !tools->worker_library)
		return gt_fail(err, GT_NOT_FOUND, "the Python frontend is not there; see gauntlet doctor");
	char *main_file = gt_path_join(tools->frontend_folder, "gauntlet/__main__.py");
	setenv("ORT_DISABLE_TELEMETRY", "1", 1);
	pid_t child = fork();
	if (child == 0) {
		execl(tools->python, tools->python, "-I", main_file, "stage", stage, folder,
		      tools->worker_library, (char *)NULL);
		_exit(127);
	}
	free(main_file);
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return gt_fail_errno(err, "cannot start '%s'", tools->python);
	if (WIFSIGNALED(status))
		return gt_fail(err, GT_ENGINE, "the frontend was ended by %s", strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) == 127)
		return gt_fail(err, GT_NOT_FOUND, "cannot start '%s'", tools->python);
	*exit_code = WEXITSTATUS(status);
	return GT_OK;
}

// Has the test class left this stage to the built-in code? The frontend has recorded it.
static bool is_left_to_us(const char *folder, const char *stage)
{
	json_t *records = NULL;
	char *path = gt_path_join(folder, "stages.json");
	bool left = false;
	if (!gt_json_read(path, &records, NULL)) {
		const json_t *entry = json_object_get(json_object_get(records, "stages"), stage);
		left = gt_json_bool_or(json_object_get(entry, "detail"), "builtin", false);
	}
	json_decref(records);
	free(path);
	return left;
}

static gt_code serve(const struct gt_engine *engine, const struct gt_toolchain *tools,
                     const char *stage, const char *folder, const json_t *test_json,
                     json_t **reply, struct gt_err *err)
{
	struct gt_server server = {.engine = engine};
	json_t *identity = NULL;
	const char *tmp = getenv("TMPDIR");
	if (tmp && !gt_path_is_plain(tmp))
		setenv("TMPDIR", "/tmp", 1); // IREE pastes it unquoted into a shell command
	gt_code rc = engine ? engine->load(tools, &identity, err) : GT_OK;
	json_decref(identity);
	if (rc)
		return rc;
	json_t *request = json_pack("{s:s,s:s,s:o,s:O,s:O}", "action", "stage", "stage", stage,
	                            "folder", gt_json_text(folder), "test",
	                            json_object_get(test_json, "test"), "options",
	                            json_object_get(test_json, "options"));
	char *text = json_dumps(request, JSON_COMPACT);
	char *answer = gt_stage_serve(&server, text);
	*reply = json_loads(answer, 0, NULL);
	free(answer);
	free(text);
	json_decref(request);
	return *reply ? GT_OK : gt_fail(err, GT_INTERNAL, "the stage gave no answer");
}

// The record of the stage in stages.json is replaced, so that later stages trust the new files.
static gt_code record(const char *folder, const char *stage, const json_t *reply,
                      struct gt_err *err)
{
	char *path = gt_path_join(folder, "stages.json");
	json_t *records = NULL;
	gt_code rc = GT_OK;
	if (gt_is_file(path))
		rc = gt_json_read(path, &records, err);
	else
		records = json_pack("{s:i,s:{}}", "format", 1, "stages");
	if (!rc) {
		json_t *entry = json_pack("{s:O,s:O,s:O}", "ok", json_object_get(reply, "ok"), "files",
		                          json_object_get(reply, "files"), "detail",
		                          json_object_get(reply, "detail"));
		json_t *stages = json_object_get(records, "stages");
		if (json_is_object(stages))
			gt_json_set(stages, stage, entry);
		rc = gt_json_write(path, records, err);
	}
	json_decref(records);
	free(path);
	return rc;
}

static int show(const char *stage, const json_t *reply)
{
	bool ok = gt_json_bool_or(reply, "ok", false);
	struct gt_buf line = {0};
	gt_buf_printf(&line, "%s: ", stage);
	gt_utf8_line(&line, ok ? "ok" : gt_json_string_or(reply, "message", "failed"));
	const json_t *detail = json_object_get(reply, "detail");
	bool match = gt_json_bool_or(detail, "match", true);
	if (ok && !match)
		gt_utf8_line(&line, gt_json_string_or(detail, "message", ""));
	size_t i;
	json_t *file;
	json_array_foreach(json_object_get(reply, "files"), i, file) {
		gt_buf_puts(&line, i ? ", " : "; wrote ");
		gt_utf8_line(&line, gt_json_string_or(file, "name", "?"));
	}
	puts(gt_buf_text(&line));
	gt_buf_free(&line);
	return ok && match ? GT_EXIT_OK : GT_EXIT_FAILED;
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

static gt_code run_stage(const char *stage, const char *folder, int *exit_code,
                         struct gt_err *err)
{
	enum gt_stage_id id = gt_stage_parse(stage);
	if (id == GT_STAGE_COUNT)
		return fail_unknown(stage, err);
	struct gt_toolchain tools;
	struct gt_case test = {0};
	struct gt_options options = {0};
	json_t *test_json = NULL, *reply = NULL;
	char *path = gt_path_join(folder, "test.json");
	gt_toolchain_find(&tools);
	gt_code rc = gt_json_read(path, &test_json, err);
	if (!rc)
		rc = gt_case_from_json(json_object_get(test_json, "test"), &test, err);
	if (!rc)
		rc = gt_options_from_json(json_object_get(test_json, "options"), &options, err);
	if (rc) {
		gt_err_context(err, "'%s' is not the folder of a test in a run directory", folder);
	} else {
		struct gt_plan plan = {.options = &options};
		struct gt_placement place = gt_plan_place(&plan, &test, id);
		bool ours = place.host != GT_HOST_FRONTEND;
		if (!ours) {
			rc = call_frontend(&tools, stage, folder, exit_code, err);
			ours = !rc && *exit_code == 0 && is_left_to_us(folder, stage);
		}
		if (ours)
			rc = serve(engine_of(place.host), &tools, stage, folder, test_json, &reply, err);
	}
	if (!rc && reply)
		rc = record(folder, stage, reply, err);
	if (!rc && reply)
		*exit_code = show(stage, reply);
	json_decref(reply);
	json_decref(test_json);
	gt_options_free(&options);
	gt_case_free(&test);
	gt_toolchain_free(&tools);
	free(path);
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
		if (run_stage(args.positionals.items[0], folder, &exit_code, &err))
			exit_code = gt_cli_fail(&err);
		free(folder);
	}
	gt_arg_free(&args);
	return exit_code;
}
