#include "cli/reporting.h"

#include "base/file.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_REPORT "report.md"

gt_code gt_reporting_check_file(const char *flag, const char *path, struct gt_err *err)
{
	const char *slash = strrchr(path, '/');
	if (!*path || (slash && !slash[1]))
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is not the name of a file", flag,
		               path);
	struct stat st;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return gt_fail(err, GT_BAD_USAGE, "flag '--%s': '%s' is not a regular file", flag, path);
	gt_code rc = GT_OK;
	char *folder = slash ? gt_strndup(path, (size_t)(slash - path) + 1) : gt_strdup(".");
	if (!gt_is_folder(folder))
		rc = gt_fail(err, GT_BAD_USAGE, "flag '--%s': there is no folder '%s' to write '%s' in",
		             flag, folder, path);
	else if (access(folder, W_OK) != 0)
		rc = gt_fail(err, GT_BAD_USAGE, "flag '--%s': the folder '%s' cannot be written to", flag,
		             folder);
	free(folder);
	return rc;
}

static bool is_asked_for(const struct gt_args *args)
{
	return gt_arg_given(args, "report") || gt_arg_given(args, "report-file");
}

gt_code gt_reporting_check(const struct gt_args *args, struct gt_err *err)
{
	static const char *const colors[] = {"auto", "always", "never", NULL};
	size_t at;
	gt_code rc = gt_arg_choice("color", gt_arg_text(args, "color", "auto"), colors, &at, err);
	if (rc || !is_asked_for(args))
		return rc;
	const char *path = gt_arg_text(args, "report-file", DEFAULT_REPORT);
	rc = gt_reporting_check_file("report-file", path, err);
	char *beside = rc ? NULL : gt_report_json_path(path, err);
	if (!rc)
		rc = beside ? gt_reporting_check_file("report-file", beside, err) : GT_BAD_USAGE;
	free(beside);
	return rc;
}

static int judge(const struct gt_result *r)
{
	if (!r->complete && r->reason && strcmp(r->reason, "max-failures") == 0)
		return GT_EXIT_FAILED; // as asked for
	if (!r->complete)
		return GT_EXIT_INCOMPLETE;
	if (gt_result_failures(r))
		return GT_EXIT_FAILED;
	return GT_EXIT_OK;
}

int gt_reporting_write(const struct gt_args *args, const struct gt_result *result,
                       const char *into, bool *has_results)
{
	struct gt_err err = {0};
	int failed = 0;
	*has_results = !into || !gt_report_results(result, into, &err);
	if (!*has_results)
		failed = gt_cli_fail(&err);
	if (is_asked_for(args))
		if (gt_report_markdown(result, gt_arg_text(args, "report-file", DEFAULT_REPORT), &err))
			failed = gt_cli_fail(&err);
	return failed ? GT_EXIT_INTERNAL : judge(result);
}

void gt_reporting_summarise(const struct gt_result *result, const char *folder, bool has_results,
                            const struct gt_terminal *terminal, struct gt_outlet *out)
{
	struct gt_buf text = {0};
	gt_report_summary(result, folder, has_results, terminal->width, terminal->color, &text);
	gt_outlet_put(out, gt_buf_text(&text), text.length);
	gt_buf_free(&text);
}

int gt_reporting_drain(struct gt_outlet *out, int exit_code)
{
	struct gt_err err = {0};
	gt_outlet_drain(out);
	// Nobody reads any more (| head), or nobody was to read (>&-): the files are there all the same.
	if (!out->error || out->error == EPIPE || out->error == EBADF)
		return exit_code;
	errno = out->error;
	gt_fail_errno(&err, "cannot write the summary to standard output");
	gt_cli_fail(&err);
	return GT_EXIT_INTERNAL;
}
