// report/report.h - writers of the result model. Each is a pure function of it; one file each.
//
// Every writer escapes what it gets: names, messages and reasons are untrusted text.
#ifndef GT_REPORT_REPORT_H
#define GT_REPORT_REPORT_H

#include "base/buf.h"
#include "core/result.h"
#include "report/outlet.h"

// results.json in <folder>, in one step.
GT_MUST_USE gt_code gt_report_results(const struct gt_result *r, const char *folder,
                                      struct gt_err *err);

// alt_e2eshark's Markdown at `path` and its JSON beside it with the same stem (".json"); same
// tables, same schema (docs/formats.md, "Reports of alt_e2eshark").
GT_MUST_USE gt_code gt_report_markdown(const struct gt_result *r, const char *path,
                                       struct gt_err *err);

// Path of the JSON report that lies beside `path`, allocated; NULL if it would be the same file.
char *gt_report_json_path(const char *path, struct gt_err *err);

// The closing text of a run for a terminal `width` columns wide: table by stage, slowest tests,
// differences from the expected statuses, each with the path of its log, one line of counts, paths of the journal and, if it could be
// written, of results.json.
void gt_report_summary(const struct gt_result *r, const char *folder, bool has_results, int width,
                       bool color, struct gt_buf *out);

// The live view of a run: failures as they come, and on a terminal one progress line below them.
struct gt_console;

struct gt_console_options {
	struct gt_outlet *out; // where it writes; borrowed
	bool terminal; // may move the cursor
	bool color;
	int width;
	bool verbose;  // also every passing test
	const double *limits_s; // seconds that each stage may take, by enum gt_stage_id; NULL: not known
};

struct gt_console *gt_console_new(const struct gt_console_options *options, size_t test_count);
// Show an event that has been applied to `r` already. Cheap: at most ten writes a second for the
// progress line, plus one per failure.
void gt_console_event(struct gt_console *c, const struct gt_result *r, const json_t *event);
// Call now and then (a timer) so that elapsed time and what runs stay true.
void gt_console_tick(struct gt_console *c, const struct gt_result *r);
// Print what runs since when, as permanent lines: time, limit, stage, test.
void gt_console_show_running(struct gt_console *c);
// Print that no more is started, as a permanent line: why ("interrupted", "max-failures"), and what that
// means for what runs, which is ended in so many seconds; 0: now.
void gt_console_stop(struct gt_console *c, const char *reason, double seconds);
// The whole run is stopped, then goes on: that time does not count.
void gt_console_suspend(struct gt_console *c, bool stop);
// Remove the progress line and free. What finds no room yet stays with the outlet.
void gt_console_delete(struct gt_console *c);

#endif // GT_REPORT_REPORT_H
