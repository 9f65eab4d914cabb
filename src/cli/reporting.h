// cli/reporting.h - the reports at the end of a run; what `run` and `report` have in common.
#ifndef GT_CLI_REPORTING_H
#define GT_CLI_REPORTING_H

#include "cli/arguments.h"
#include "cli/terminal.h"
#include "report/report.h"

#define GT_REPORTING_ROWS \
	{0, "report", GT_ARG_FLAG, NULL, "also alt_e2eshark's Markdown and JSON reports"}, \
	{0, "report-file", GT_ARG_VALUE, "FILE", \
	 "where, relative to the current folder; the JSON lies beside it (default: report.md)"}, \
	{0, "color", GT_ARG_VALUE, "auto|always|never", "colours (default: auto)"}

// A file that is to be written at the end of a run, checked before it begins: its folder must be
// there and let us write, and what has its name already must be a regular file.
GT_MUST_USE gt_code gt_reporting_check_file(const char *flag, const char *path,
                                            struct gt_err *err);

// The same for what --report and --report-file ask for; and the value of --color.
GT_MUST_USE gt_code gt_reporting_check(const struct gt_args *args, struct gt_err *err);

// Write results.json into the folder `into` (NULL: nowhere), which is left out of the summary if that
// fails, and what the flags ask for. Returns the exit code that the result deserves, or 3 if a report
// could not be written.
int gt_reporting_write(const struct gt_args *args, const struct gt_result *result,
                       const char *into, bool *has_results);

// Put the summary of the run in `folder` on its way; it may wait for its reader.
void gt_reporting_summarise(const struct gt_result *result, const char *folder, bool has_results,
                            const struct gt_terminal *terminal, struct gt_outlet *out);

// Wait for the reader of the summary. Returns `exit_code`, or 3 if it could not be written.
int gt_reporting_drain(struct gt_outlet *out, int exit_code);

#endif // GT_CLI_REPORTING_H
