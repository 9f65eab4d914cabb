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

// Write results.json and what the flags ask for, print the summary to stdout. Returns the exit code
// that the result deserves, or 3 if a report could not be written.
int gt_reporting_write(const struct gt_args *args, const struct gt_result *result,
                       const char *folder, const struct gt_terminal *terminal);

#endif // GT_CLI_REPORTING_H
