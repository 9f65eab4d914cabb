#include "cli/selection.h"

#include "base/temporary.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "run/ask.h"
#include "suite/expect.h"
#include "suite/select.h"
#include "suite/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *gt_share_folder(void)
{
	const char *folder = getenv("GAUNTLET_SHARE");
	return folder && *folder ? folder : GT_SHARE;
}

void gt_cli_parse(const struct gt_arg_command *command, int argc, char **argv,
                  struct gt_args *args, bool *done, int *exit_code)
{
	struct gt_err err = {0};
	gt_code rc = gt_arg_parse(command, (size_t)argc - 1, (const char *const *)argv + 1, args, &err);
	*done = true;
	if (gt_arg_given(args, "help")) {
		struct gt_buf text = {0};
		gt_arg_help(command, &text);
		fputs(gt_buf_text(&text), stdout);
		gt_buf_free(&text);
		*exit_code = GT_EXIT_OK;
	} else if (rc) {
		*exit_code = gt_cli_fail(&err);
	} else {
		*done = false;
	}
}

// Longest part of what a job printed that is shown.
#define MAX_OUTPUT 8000

// What the file printed says more than why it could not be listed: the last of it, without the message, with
// which it ends.
static void show_output(struct gt_buf *output, const struct gt_err *err)
{
	size_t n = strlen(err->text);
	char *text = gt_buf_take(output), *from = text;
	size_t length = strlen(text);
	while (length && text[length - 1] == '\n')
		text[--length] = '\0';
	if (length >= n && strcmp(text + length - n, err->text) == 0 &&
	    (length == n || text[length - n - 1] == '\n'))
		text[length -= n] = '\0';
	if (length > MAX_OUTPUT) {
		from = text + length - MAX_OUTPUT;
		from += strcspn(from, "\n");
		from += *from == '\n';
		fputs("...\n", stderr);
	}
	for (char *line; (line = strsep(&from, "\n"));) {
		struct gt_buf clean = {0};
		gt_utf8_line(&clean, line);
		if (clean.length || from)
			fprintf(stderr, "%s\n", gt_buf_text(&clean));
		gt_buf_free(&clean);
	}
	free(text);
}

// Python files are listed by the frontend, which is the only one to run what they contain.
static gt_code list_python(const char *spec, const struct gt_toolchain *tools, double limit_s,
                           struct gt_cases *cases, struct gt_err *err)
{
	struct gt_temporary folder;
	gt_code rc = gt_temporary_make("list", &folder, err);
	if (rc)
		return rc;
	char *file = gt_path_absolute(spec);
	char *out = gt_path_join(folder.path, "listing.json");
	json_t *request = json_pack("{s:s,s:o,s:o}", "action", "list", "file", gt_json_bytes(file),
	                            "out", gt_json_bytes(out));
	json_t *detail = NULL, *listing = NULL;
	struct gt_buf output = {0};
	struct gt_err why = {0};
	rc = gt_ask(GT_HOST_FRONTEND, tools, request, limit_s, &detail, NULL, &output, &why);
	if (rc) {
		show_output(&output, &why);
		*err = why;
	}
	if (!rc)
		rc = gt_json_read(out, &listing, err);
	if (!rc)
		rc = gt_json_check_format(listing, 1, out, err);
	if (!rc)
		rc = gt_suite_read_listing(listing, cases, err);
	if (rc)
		gt_err_context(err, "cannot list the tests of '%s'", spec);
	gt_buf_free(&output);
	json_decref(listing);
	json_decref(detail);
	json_decref(request);
	free(out);
	free(file);
	gt_temporary_remove(&folder);
	return rc;
}

static gt_code load_builtin(const struct gt_toolchain *tools, struct gt_cases *cases,
                            struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && gt_suite_builtin[i]; i++)
		rc = gt_suite_load(gt_suite_builtin[i], tools->onnx_folder, cases, err);
	return rc;
}

// The default suite is a list of names: the tests of its file of expected statuses.
static gt_code load_default(const struct gt_toolchain *tools, struct gt_cases *cases,
                            struct gt_err *err)
{
	struct gt_cases all = {0};
	struct gt_expectations expect = {0};
	struct gt_selection wanted = {0};
	char *path = gt_path_join(gt_share_folder(), "default.expect");
	gt_code rc = gt_expect_load(path, &expect, err);
	for (size_t i = 0; i < expect.count; i++)
		gt_names_add(&wanted.names, expect.items[i].test);
	if (!rc)
		rc = load_builtin(tools, &all, err);
	if (!rc) {
		gt_cases_name(&all);
		rc = gt_select(&wanted, &all, err);
	}
	for (size_t i = 0; !rc && i < all.count; i++) {
		*gt_cases_add(cases) = all.items[i];
		all.items[i] = (struct gt_case){0}; // moved
	}
	gt_names_free(&wanted.names);
	gt_expect_free(&expect);
	gt_cases_free(&all);
	free(path);
	return rc;
}

static gt_code load_suite(const char *spec, const struct gt_toolchain *tools, double limit_s,
                          struct gt_cases *cases, struct gt_err *err)
{
	if (strcmp(spec, "default") == 0)
		return load_default(tools, cases, err);
	if (gt_suite_is_python(spec))
		return list_python(spec, tools, limit_s, cases, err);
	return gt_suite_load(spec, tools->onnx_folder, cases, err);
}

// The shipped expectations that fit what was asked for, if any.
static char *shipped(const struct gt_names *suites, bool bare)
{
	const char *name = bare ? "default" : "onnx-node";
	for (size_t i = 0; i < suites->count; i++) {
		if (i > 0 && strcmp(suites->items[i], suites->items[0]) != 0)
			return NULL;
		name = suites->items[i];
	}
	if (strncmp(name, "onnx-", 5) != 0 && strcmp(name, "default") != 0)
		return NULL;
	char *file = gt_format("%s/%s.expect", gt_share_folder(), name);
	if (gt_is_file(file))
		return file;
	free(file);
	return NULL;
}

gt_code gt_selection_make(const struct gt_args *args, const struct gt_toolchain *tools,
                          double limit_s, struct gt_selected *out, struct gt_err *err)
{
	*out = (struct gt_selected){0};
	const struct gt_names *suites = gt_arg_list(args, "suite");
	struct gt_selection selection = {
		.names = args->positionals, // borrowed
		.filter = gt_arg_text(args, "test-filter", NULL),
		.tests_file = gt_arg_text(args, "testsfile", NULL),
	};
	bool bare = suites->count == 0 && selection.names.count == 0 && !selection.filter &&
	            !selection.tests_file;
	gt_code rc = GT_OK;
	if (bare)
		rc = load_suite("default", tools, limit_s, &out->cases, err);
	else if (suites->count == 0)
		rc = load_builtin(tools, &out->cases, err);
	for (size_t i = 0; !rc && i < suites->count; i++)
		rc = load_suite(suites->items[i], tools, limit_s, &out->cases, err);
	if (!rc) {
		gt_cases_name(&out->cases);
		rc = gt_select(&selection, &out->cases, err);
		gt_cases_name(&out->cases); // what was not selected collides with nothing
	} else if (rc == GT_NOT_FOUND) {
		err->code = rc = GT_BAD_USAGE; // a suite that is not there is a wrong name, not "no tests"
	}
	out->expectations = shipped(suites, bare);
	return rc;
}

void gt_selection_free(struct gt_selected *s)
{
	gt_cases_free(&s->cases);
	free(s->expectations);
	*s = (struct gt_selected){0};
}
