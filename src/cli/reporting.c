#include "cli/reporting.h"

#include "base/file.h"
#include "cli/cli.h"

#include <unistd.h>

static int judge(const struct gt_result *r)
{
	if (!r->complete)
		return GT_EXIT_INCOMPLETE;
	if (r->verdicts[GT_VERDICT_FAIL] || r->verdicts[GT_VERDICT_XPASS])
		return GT_EXIT_FAILED;
	return GT_EXIT_OK;
}

int gt_reporting_write(const struct gt_args *args, const struct gt_result *result,
                       const char *folder, const struct gt_terminal *terminal)
{
	struct gt_err err = {0};
	int failed = 0;
	if (gt_report_results(result, folder, &err))
		failed = gt_cli_fail(&err);
	if (gt_arg_given(args, "report") || gt_arg_given(args, "report-file"))
		if (gt_report_markdown(result, gt_arg_text(args, "report-file", "report.md"), &err))
			failed = gt_cli_fail(&err);

	struct gt_buf text = {0};
	gt_report_summary(result, folder, terminal->width, terminal->color, &text);
	(void)!gt_write_all(1, text.data, text.length); // nobody listens: the files are there
	gt_buf_free(&text);
	return failed ? GT_EXIT_INTERNAL : judge(result);
}
